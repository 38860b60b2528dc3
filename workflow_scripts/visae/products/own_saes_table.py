"""SAEs of one's own beside the study's, at equal L0 and at equal FVU."""

from visae.products.product import Product
from visae.products.sources import own_saes, sweeps_of_own

ENTRY = Product(
    kind="table",
    shows="SAEs of your own beside the study's, at equal L0 and at equal FVU",
    reads=lambda study, paths: {"scores": paths.scores()},
    settings=sweeps_of_own,
    needs=(own_saes,),
)


def make(inputs, settings):
    from visae.tables.own_saes import own_saes
    from visae.tables.scores import read_scores

    return own_saes(read_scores(inputs["scores"]), settings["own"])
