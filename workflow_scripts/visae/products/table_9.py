"""Table 9: do two families of SAEs rank the backbones alike?"""

from visae.products.product import Product
from visae.products.sources import both_families, families, has_two_families

ENTRY = Product(
    kind="table",
    shows="do two families of SAEs rank the backbones alike?",
    reads=both_families,
    settings=families,
    wanted=has_two_families,
)


def make(inputs, settings):
    from visae.tables.family import table_9
    from visae.tables.scores import read_scores

    return table_9(read_scores(inputs["scores"]), *settings["sweeps"])
