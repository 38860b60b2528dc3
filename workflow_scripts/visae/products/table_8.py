"""Table 8: do backbones with weaker raw features gain more from their SAEs' codes?"""

from visae.products.product import Product
from visae.products.sources import downstream_tasks, several_backbones, tables

ENTRY = Product(
    kind="table",
    shows="raw performance against what codes gain",
    reads=lambda study, paths: tables(paths, "codes_lift"),
    needs=(downstream_tasks, several_backbones),
)


def make(inputs, settings):
    from visae.tables.correlations import table_8
    from visae.tables.layout import read

    return table_8(read(inputs["codes_lift"]).rows)
