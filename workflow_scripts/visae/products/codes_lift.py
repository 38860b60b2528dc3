"""What all codes of an SAE achieve on the downstream tasks, relative to raw features."""

from visae.products.product import Product
from visae.products.sources import downstream, downstream_tasks, on_main

ENTRY = Product(
    kind="table",
    shows="what codes gain over raw features, task by task",
    reads=downstream,
    settings=on_main,
    needs=(downstream_tasks,),
)


def make(inputs, settings):
    from visae.tables.downstream import codes_lift, read_downstream

    return codes_lift(read_downstream(inputs["downstream"]), settings["sweep"])
