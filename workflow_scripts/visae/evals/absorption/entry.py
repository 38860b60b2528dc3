"""M7. Its probes are too small for the plan to count."""

from visae.evals.entry import METRIC, SAES, AsRun, Eval, Needs, listed

ALPHAS = (0.7, 0.8, 0.9)
BETAS = (0.3, 0.5, 0.7)
"""The thresholds of Table 7."""


def _protocol(config, settings):
    return (
        "class against siblings, at least 3 classes per group; F1 on held-out images below "
        f"{settings['alpha']:g} with 1 feature and above {settings['beta']:g} with 4; sweep over "
        f"{listed(ALPHAS)} × {listed(BETAS)}"
    )


ENTRY = Eval(
    kind=METRIC,
    number=7,
    label="Absorption",
    paper="section 4.4, Tables 2 and 7",
    definition=(
        "share of class-against-siblings tasks with held-out F1 < {alpha} from the best feature "
        "and > {beta} from the best {most_features} (logistic regression, features ranked by "
        "F-statistic on the task's training images)"
    ),
    as_run=AsRun(
        definition=(
            "share of class-against-siblings tasks with F1({most_features}) − F1(1) > 0.1, "
            "features ranked, probes fitted and F1 read on the same images: all of the group"
        ),
        warning="F1 is read on the images on which features were ranked and probes fitted",
    ),
    switches={
        "the rule by the gain in F1": ("headline", "as_run"),
        "F1 of one feature, in sample": ("mean_f1_one", "as_run_mean_f1_one"),
        "F1 of four features, in sample": ("mean_f1_four", "as_run_mean_f1_four"),
    },
    higher_is_better=False,
    labels=True,
    of={
        SAES: Needs(
            reads=("codes", "rankings", "probe_split", "sibling_groups"), gpu=True, megabytes=7000
        )
    },
    settings={
        "alpha": {
            "description": "A distinction is absorbed when F1 with one feature is below this …",
            "type": "number",
            "default": 0.8,
        },
        "beta": {
            "description": "… and F1 with four features above this",
            "type": "number",
            "default": 0.5,
        },
    },
    protocol=_protocol,
    arrays=True,
)
