"""Figure 7: per downstream task, how well each metric foresees it."""

from visae.products.product import Product
from visae.products.sources import has_tasks, metrics, over_main, tables

ENTRY = Product(
    kind="figure",
    shows="how well each metric foresees each task",
    reads=lambda study, paths: tables(paths, "correlations"),
    settings=lambda study: {**metrics(study), "tasks": study.tasks()},
    wanted=has_tasks,
    over=over_main,
)
