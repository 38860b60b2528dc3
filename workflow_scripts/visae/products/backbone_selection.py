"""Which backbone is best at which downstream task, and which metric foresees it (Appendix P)."""

from visae.products.product import Product
from visae.products.sources import downstream, downstream_tasks, on_main, several_backbones, tables

ENTRY = Product(
    kind="table",
    shows="the best backbone for each task, and the metric that foresees it",
    reads=lambda study, paths: downstream(study, paths) | tables(paths, "correlations"),
    settings=on_main,
    needs=(downstream_tasks, several_backbones),
)


def make(inputs, settings):
    from visae.tables.downstream import codes_values, read_downstream, task_values
    from visae.tables.foresight import backbone_selection, turned
    from visae.tables.layout import read

    rows, sweep = read_downstream(inputs["downstream"]), settings["sweep"]
    found = turned(read(inputs["correlations"]).rows)
    return backbone_selection(found, task_values(rows, sweep), codes_values(rows, sweep))
