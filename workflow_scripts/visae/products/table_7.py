"""Table 7: M7 over its two thresholds."""

from visae.products.product import Product
from visae.products.sources import labels, main_scores, metrics_of, on_main
from visae.study import roles


def _settings(study):
    return {**on_main(study), "labels": labels(study, roles.main(study).backbones)}


ENTRY = Product(
    kind="table",
    shows="absorption over its two thresholds",
    reads=main_scores,
    settings=_settings,
    needs=(metrics_of("absorption"),),
)


def make(inputs, settings):
    from visae.tables.scores import read_scores
    from visae.tables.thresholds import table_7

    return table_7(read_scores(inputs["scores"]), settings["sweep"], settings["labels"])
