"""Which share of two SAEs' features match, pair by pair."""

from visae.products.product import Product
from visae.products.sources import counted, looks, matched_saes, tables
from visae.study import roles


def _over(study):
    pairs = counted(len(roles.matched(study)), "pair")
    return f"n = {pairs} of SAEs; shares are of the features that are live on the images compared."


ENTRY = Product(
    kind="figure",
    shows="share of features with a match in another SAE, against shuffled images",
    reads=lambda study, paths: tables(paths, "matches_table"),
    settings=lambda study: looks(study, study.backbones),
    needs=(matched_saes,),
    over=_over,
)
