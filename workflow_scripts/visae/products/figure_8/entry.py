"""Figure 8: which backbone for which downstream task, and the metric that foresees it."""

from visae.products.product import Product
from visae.products.sources import (
    downstream_tasks,
    looks,
    metrics,
    over_main,
    several_backbones,
    tables,
)

ENTRY = Product(
    kind="figure",
    shows="which backbone for which task",
    reads=lambda study, paths: tables(paths, "backbone_selection"),
    settings=lambda study: {**metrics(study), "tasks": study.tasks(), **looks(study)},
    needs=(downstream_tasks, several_backbones),
    over=over_main,
)
