"""What of each metric's variance is the seed of the pretraining."""

from visae.products.product import Product
from visae.products.sources import on_main, replicates, scores_of_studies, studies


def _settings(study):
    return {**on_main(study), "studies": studies(study)}


ENTRY = Product(
    kind="table",
    shows="what of each metric's variance is the seed of the pretraining",
    settings=_settings,
    reads=scores_of_studies,
    needs=(replicates,),
)


def make(inputs, settings):
    from visae.tables.replicates import read_studies, replicates

    return replicates(read_studies(settings["studies"], inputs["scores"]), settings["sweep"])
