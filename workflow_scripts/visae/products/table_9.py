"""Table 9: do two families of SAEs rank the backbones alike?"""

from visae.products.product import Product
from visae.products.sources import both_families, families, second_family, several_backbones

ENTRY = Product(
    kind="table",
    shows="do two families of SAEs rank the backbones alike?",
    reads=both_families,
    settings=families,
    needs=(second_family, several_backbones),
)


def make(inputs, settings):
    from visae.tables.family import table_9
    from visae.tables.scores import read_scores

    return table_9(read_scores(inputs["scores"]), *settings["sweeps"])
