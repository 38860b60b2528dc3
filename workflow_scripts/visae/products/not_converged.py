"""JumpReLU SAEs that missed their target L0, which comparisons leave out."""

from visae.products.product import Product
from visae.products.sources import both_families, families, second_family

ENTRY = Product(
    kind="table",
    shows="JumpReLU SAEs that missed their target L0",
    reads=both_families,
    settings=families,
    needs=(second_family,),
)


def make(inputs, settings):
    from visae.tables.family import not_converged
    from visae.tables.scores import read_scores

    return not_converged(read_scores(inputs["scores"]), settings["sweeps"])
