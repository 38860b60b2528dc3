"""Every metric by backbone and seed of the pretraining."""

from visae.products.product import Product
from visae.products.sources import replicates, scores_of_studies, studies


def _settings(study):
    return {"sweeps": list(study.sweeps), "studies": studies(study)}


ENTRY = Product(
    kind="table",
    shows="every metric by backbone and seed of the pretraining",
    settings=_settings,
    reads=scores_of_studies,
    needs=(replicates,),
)


def make(inputs, settings):
    from visae.tables.replicates import read_studies, replicate_means

    return replicate_means(read_studies(settings["studies"], inputs["scores"]), settings["sweeps"])
