"""FLOPs of the probes that metrics fit.

The solvers' products: logits and gradient (4·n·k·C) for each evaluation of L-BFGS and each epoch of
Adam, the Hessian (2·n·k²) for each step of Newton's method. How many evaluations and steps a fit
takes is known only afterwards; here they are assumed.
"""

from visae.evals.cross_domain.compute import BUDGET
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


def of_sae(study, metrics, counts, width, features):
    """On CUDA and on the CPU, of one SAE's probes for `metrics` (M7's are too small to count)."""
    both, gpu, cpu = 0, 0, 0
    images, classes = training_set(study, study.evaluation.dataset, counts)
    if "preservation" in metrics:
        both += multinomial(images, width, classes)
    if "sparse_probing" in metrics:
        budgets = [k for k in study.config["metrics"]["sparse_probing"]["budgets"] if k <= features]
        both += sum(multinomial(images, k, classes) for k in budgets)
        of_classes = one_vs_rest(images, budgets, classes)
        gpu, cpu = gpu + of_classes[0], cpu + of_classes[1]
    for dataset in study.cross_domain if "cross_domain" in metrics else ():
        images, classes = training_set(study, dataset, counts)
        both += multinomial(images, width, classes) + multinomial(images, BUDGET, classes)
        sampled = min(classes, study.config["metrics"]["cross_domain"]["one_vs_rest_classes"])
        of_classes = one_vs_rest(images, [BUDGET], sampled)
        gpu, cpu = gpu + of_classes[0], cpu + of_classes[1]
    return both + gpu, both + cpu


def training_set(study, dataset, counts):
    """(images, classes) on which the probes of a data set are fitted."""
    train, _ = study.probe_splits(dataset)
    images, classes = counts[train.name].images, counts[train.name].classes
    if dataset == study.evaluation.dataset:
        images = round(images * (1 - study.config["evaluation"]["test_fraction"]))
    return images, classes
