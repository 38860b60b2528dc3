"""M6."""

from visae.evals.entry import METRIC, SAES, AsRun, Eval, Needs
from visae.probing.limits import DOMAIN_MAX_ITER

BUDGET = 128
"""Features of the codes' probes."""


def _protocol(config, settings):
    if not settings["datasets"]:
        return "not computed: no out-of-domain data set"
    return (
        f"{', '.join(settings['datasets'])} ({settings['headline']} is the score); matched "
        f"probes on raw features, reconstructions and codes (at most {DOMAIN_MAX_ITER} "
        f"iterations); codes also with {BUDGET} features"
    )


def _work(probes, settings):
    for dataset in settings["datasets"]:
        images, classes = probes.training_set(dataset)
        probes.multinomial(images, probes.width, classes)
        probes.multinomial(round(0.8 * probes.test_images(dataset)), probes.width, classes)
        probes.multinomial(images, BUDGET, classes)
        probes.one_vs_rest(images, [BUDGET], min(classes, settings["one_vs_rest_classes"]))


ENTRY = Eval(
    kind=METRIC,
    number=6,
    label="Cross-domain",
    paper="section 4.3, Appendices L and M, Table 6",
    definition=(
        "accuracy on {headline}'s test images of a probe trained on its reconstructed "
        "features / of one trained on its raw features (max over patches)"
    ),
    as_run=AsRun(
        definition=(
            "accuracy of a probe on {headline}'s reconstructed features / of one on its raw "
            "features, each fitted on 80 % of its test split and scored on the other 20 % "
            "(stratified, seeded)"
        )
    ),
    switches={"one split, divided": ("headline", "as_run")},
    data="cross_domain",
    labels=True,
    of={
        SAES: Needs(
            reads=("codes", "reconstructions", "raw", "raw_probe", "rankings"),
            gpu=True,
            codes_held=1,
        )
    },
    settings={
        "headline": {
            "description": "The data set whose preservation is the score",
            "type": ["string", "null"],
            "default": None,
        },
        "datasets": {
            "description": "Out-of-domain data sets with the splits their probes use",
            "type": "object",
            "default": {},
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["train", "test"],
                "properties": {
                    "train": {"description": "Split the probes are fitted on", "type": "string"},
                    "test": {"description": "Split they are scored on", "type": "string"},
                },
            },
        },
        "one_vs_rest_classes": {
            "description": (
                "Classes of a data set whose one-vs-rest ROC-AUC on the codes is measured: a "
                "seeded sample where there are more (iNaturalist has 10,000)"
            ),
            "type": "integer",
            "minimum": 1,
            "default": 1000,
        },
    },
    protocol=_protocol,
    work=_work,
)
