"""Table 6: accuracy on other data sets, of raw features and of reconstructions."""

from visae.products.product import Product
from visae.products.sources import downstream, downstream_tasks, on_main

ENTRY = Product(
    kind="table",
    shows="accuracy on other data sets, raw and reconstructed",
    reads=downstream,
    settings=on_main,
    needs=(downstream_tasks,),
)


def make(inputs, settings):
    from visae.tables.downstream import read_downstream, table_6

    return table_6(read_downstream(inputs["downstream"]), settings["sweep"])
