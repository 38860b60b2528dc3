"""Figure 7: per downstream task, how well each metric foresees it."""

from visae.products.product import Product
from visae.products.sources import downstream_tasks, metrics, over_main, several_backbones, tables

ENTRY = Product(
    kind="figure",
    shows="how well each metric foresees each task",
    reads=lambda study, paths: tables(paths, "correlations"),
    settings=lambda study: {**metrics(study), "tasks": study.tasks()},
    needs=(downstream_tasks, several_backbones),
    over=over_main,
)
