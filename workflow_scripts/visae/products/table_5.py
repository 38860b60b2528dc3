"""Table 5: which backbone's space scores whose SAEs in M5."""

from visae.products.product import Product
from visae.products.sources import metrics_of
from visae.study import roles


def _settings(study):
    """Label of a backbone of the main sweep → its evaluator's, which may be in no sweep."""
    labels = {name: entry["label"] for name, entry in study.backbones.items()}
    return {
        "evaluators": {
            labels[name]: labels.get(study.backbones[name]["evaluator"])
            for name in roles.main(study).backbones
        }
    }


ENTRY = Product(
    kind="table",
    shows="whose SAEs M5 scores in which space",
    settings=_settings,
    needs=(metrics_of("monosemanticity"),),
)


def make(inputs, settings):
    from visae.tables.evaluators import table_5

    return table_5(settings["evaluators"])
