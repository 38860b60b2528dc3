"""Two families of SAEs at matched L0: FVU, sparse probing, dead features."""

from visae.products.product import Product
from visae.products.sources import both_families, families, second_family

ENTRY = Product(
    kind="table",
    shows="two families of SAEs at matched L0",
    reads=both_families,
    settings=families,
    needs=(second_family,),
)


def make(inputs, settings):
    from visae.tables.family import family_differences
    from visae.tables.scores import read_scores

    return family_differences(read_scores(inputs["scores"]), *settings["sweeps"])
