"""Figure 2b: which metric foresees which downstream task, over backbones."""

from visae.products.product import Product
from visae.products.sources import downstream_tasks, metrics, over_main, several_backbones, tables

ENTRY = Product(
    kind="figure",
    shows="which metric foresees which downstream task",
    reads=lambda study, paths: tables(paths, "correlations", "hypotheses"),
    settings=lambda study: {**metrics(study), "tasks": study.tasks()},
    needs=(downstream_tasks, several_backbones),
    over=over_main,
)
