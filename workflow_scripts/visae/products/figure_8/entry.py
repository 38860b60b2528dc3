"""Figure 8: which backbone for which downstream task, and the metric that foresees it."""

from visae.products.product import Product
from visae.products.sources import has_tasks, looks, metrics, over_main, tables

ENTRY = Product(
    kind="figure",
    shows="which backbone for which task",
    reads=lambda study, paths: tables(paths, "backbone_selection"),
    settings=lambda study: {**metrics(study), "tasks": study.tasks(), **looks(study)},
    wanted=has_tasks,
    over=over_main,
)
