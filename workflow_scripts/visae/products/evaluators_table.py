"""M5 of every backbone in every evaluator's space."""

from visae.products.product import Product
from visae.products.sources import evaluators, main_metric, metrics_of, on_main


def _reads(study, paths):
    variant = "in_every_space/"
    return {"scores": main_metric(study, paths, "monosemanticity", variant=variant)}


ENTRY = Product(
    kind="table",
    shows="M5 of every backbone in every evaluator's space",
    reads=_reads,
    settings=lambda study: {**on_main(study), "evaluators": evaluators(study)},
    needs=(metrics_of("monosemanticity"),),
)


def make(inputs, settings):
    from visae.tables.evaluators import monosemanticity_by_evaluator
    from visae.tables.scores import scores_table

    rows = scores_table(inputs["scores"]).rows
    return monosemanticity_by_evaluator(rows, settings["sweep"], settings["evaluators"])
