"""How many features of two SAEs match, against a control, pair by pair."""

from visae.products.product import Product
from visae.products.sources import cards_of_matches, labels, matched_saes

ENTRY = Product(
    kind="table",
    shows="how many features of two SAEs match, against shuffled images",
    reads=lambda study, paths: {"cards": cards_of_matches(study, paths)},
    settings=lambda study: {"labels": labels(study)},
    needs=(matched_saes,),
)


def make(inputs, settings):
    from visae.tables.matches import matches_table

    return matches_table(inputs["cards"], settings["labels"])
