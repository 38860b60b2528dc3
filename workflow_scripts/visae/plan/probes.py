"""FLOPs of the probes that metrics fit.

The solvers' products: logits and gradient (4·n·k·C) for each evaluation of L-BFGS and each epoch of
Adam, the Hessian (2·n·k²) for each step of Newton's method. How many evaluations and steps a fit
takes is known only afterwards; here they are assumed.
"""

from visae.evals.sections import settings_of
from visae.evals.shelf import EVALS
from visae.probing.multinomial import EPOCHS, choose_estimator
from visae.probing.one_vs_rest import NEWTON_FEATURES

EVALUATIONS = 200
"""Of one multinomial fit by L-BFGS: 28 to 274 were seen on the demo's features."""
BINARY_EVALUATIONS = 50
"""Of one class against the rest by L-BFGS, started from the next smaller budget's solution."""
NEWTON_STEPS = 8


def multinomial(images, features, classes):
    """Of one probe of all classes."""
    passes = EPOCHS if choose_estimator(classes) == "adam" else EVALUATIONS
    return passes * 4 * images * features * classes


def one_vs_rest(images, budgets, classes):
    """On CUDA and on the CPU, of one probe per class and budget."""
    newton = {k: NEWTON_STEPS * 2 * images * k**2 for k in budgets}
    lbfgs = {k: BINARY_EVALUATIONS * 4 * images * k for k in budgets if k > NEWTON_FEATURES}
    return classes * sum(newton.values()), classes * sum((newton | lbfgs).values())


def of_raw_features(study, dataset, counts, width):
    """Of the probe of a backbone's own features on a data set."""
    images, classes = training_set(study, dataset, counts)
    return multinomial(images, width, classes)


class Probes:
    """The probes of one SAE, counted: an entry's `work` says which there are.

    width: D. features: F. gpu, cpu: FLOPs so far, on CUDA and on the CPU.
    """

    def __init__(self, study, counts, width, features):
        self._study, self._counts = study, counts
        self.width, self.features = width, features
        self.gpu = self.cpu = 0

    def training_set(self, dataset=None):
        """(images, classes) on which probes are fitted; by default of the evaluation data set."""
        dataset = dataset or self._study.evaluation.dataset
        return training_set(self._study, dataset, self._counts)

    def test_images(self, dataset):
        """The images of a data set of M6 on which probes are scored."""
        _, test = self._study.probe_splits(dataset)
        return self._counts[test.name].images

    def multinomial(self, images, features, classes):
        """Count one probe of all classes."""
        self._add(*[multinomial(images, features, classes)] * 2)

    def one_vs_rest(self, images, budgets, classes):
        """Count one probe per class and budget."""
        self._add(*one_vs_rest(images, budgets, classes))

    def _add(self, gpu, cpu):
        self.gpu += gpu
        self.cpu += cpu


def of_sae(study, metrics, counts, width, features):
    """On CUDA and on the CPU, of one SAE's probes for `metrics`."""
    probes = Probes(study, counts, width, features)
    for metric in metrics:
        if EVALS[metric].work is not None:
            EVALS[metric].work(probes, settings_of(metric, study.config))
    return probes.gpu, probes.cpu


def training_set(study, dataset, counts):
    """(images, classes) on which the probes of a data set are fitted."""
    train, _ = study.probe_splits(dataset)
    images, classes = counts[train.name].images, counts[train.name].classes
    if dataset == study.evaluation.dataset:
        images = round(images * (1 - study.config["evaluation"]["test_fraction"]))
    return images, classes
