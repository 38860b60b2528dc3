"""An early layer against the main one, metric by metric (Appendix D)."""

from visae.products.product import Product
from visae.products.sources import early_layer, scores_of
from visae.study import roles


def _reads(study, paths):
    return {"scores": scores_of(paths, roles.early(study), roles.main(study))}


def _settings(study):
    return {"sweeps": [roles.existing(roles.early(study)).name, roles.main(study).name]}


ENTRY = Product(
    kind="table",
    shows="an early layer against the main one, metric by metric",
    reads=_reads,
    settings=_settings,
    needs=(early_layer,),
)


def make(inputs, settings):
    from visae.tables.scores import read_scores
    from visae.tables.summaries import layer_comparison

    return layer_comparison(read_scores(inputs["scores"]), *settings["sweeps"])
