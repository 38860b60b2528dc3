"""M4."""

from visae.evals.entry import METRIC, SAES, AsRun, Eval, Needs, listed
from visae.probing.limits import READOUT_MAX_ITER

BUDGETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
HEADLINE_BUDGET = 128
_AT = "as_run_accuracy_at_"


def _protocol(config, settings):
    return (
        "same split; features ranked by ANOVA F on the training part; "
        f"{listed(settings['budgets'])} features, of which {HEADLINE_BUDGET} are the score; "
        f"logistic regression (lbfgs, C = 1, at most {READOUT_MAX_ITER} iterations)"
    )


def _work(probes, settings):
    images, classes = probes.training_set()
    budgets = [k for k in settings["budgets"] if k <= probes.features]
    for k in budgets:
        for _ in ("training images", "all images"):  # by which features are ranked
            probes.multinomial(images, k, classes)
    probes.one_vs_rest(images, budgets, classes)


def _area_on_the_logarithmic_axis(readings):
    """The area of the reading `accuracy_area`, under the accuracies of `as_run`."""
    from visae.evals.sparse_probing.areas import area_over_log_budget

    accuracy = {int(k): v for name, v in readings.items() if (k := name.removeprefix(_AT)) != name}
    budgets = sorted(accuracy)
    return area_over_log_budget(budgets, [accuracy[k] for k in budgets])


ENTRY = Eval(
    kind=METRIC,
    number=4,
    label="Sparse probing",
    paper="section 4.3, Appendix I, Table 2",
    definition=(
        "mean over classes of the one-vs-rest ROC-AUC on test images of logistic regression on the "
        "{headline_budget} features of highest F-statistic for the class on training images"
    ),
    as_run=AsRun(
        definition=(
            "area under the top-1 accuracy of multinomial probes on {budgets} features against "
            "their number (trapezoids, linear axis) / (the last number − the first); one ranking "
            "by F-statistic on all images"
        ),
        warning="the features are ranked on images that include the test images",
    ),
    labels=True,
    switches={
        "ranking by all images": (
            f"accuracy_at_{HEADLINE_BUDGET}",
            f"as_run_accuracy_at_{HEADLINE_BUDGET}",
        ),
        "area on the linear axis": (_area_on_the_logarithmic_axis, "as_run"),
        "area under accuracy for AUC": ("headline", "as_run"),
    },
    of={
        SAES: Needs(
            reads=("codes", "rankings", "probe_split"), gpu=True, megabytes=7000, codes_held=2
        )
    },
    settings={
        "budgets": {
            "description": (
                "Numbers of top-ranked features given to the probes; "
                f"{HEADLINE_BUDGET} is the score"
            ),
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": max(BUDGETS)},
            "minItems": 1,
            "default": list(BUDGETS),
        }
    },
    protocol=_protocol,
    arrays=True,
    work=_work,
)
