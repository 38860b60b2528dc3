"""An example of a metric of one's own: see docs/own_metric.md."""

from visae.evals.entry import METRIC, SAES, Eval, Needs

ENTRY = Eval(
    kind=METRIC,
    label="Class selectivity",
    definition=(
        "mean over live features of the share of a feature's max-pooled codes that lies on its "
        "{classes} strongest classes"
    ),
    labels=True,
    of={SAES: Needs(reads=("codes",))},
    settings={
        "classes": {
            "description": "Classes that count as a feature's own",
            "type": "integer",
            "minimum": 1,
            "default": 1,
        }
    },
    protocol=lambda config, settings: f"share of the codes on {settings['classes']} classes",
    arrays=True,
)
