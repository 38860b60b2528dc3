"""Figure 4: an early layer against the main one, metric by metric."""

from visae.products.product import Product
from visae.products.sources import early_layer, looks, metrics, over_sweep, tables
from visae.study import roles


def _settings(study):
    return {
        **metrics(study),
        "layers": roles.compared_layers(study),
        **looks(study, roles.existing(roles.early(study)).backbones),
    }


def _over(study):
    early = roles.existing(roles.early(study))
    return f"n = {over_sweep(early)} and {over_sweep(roles.main(study), early.backbones)}."


ENTRY = Product(
    kind="figure",
    shows="an early layer against the main one, metric by metric",
    reads=lambda study, paths: tables(paths, "layer_comparison"),
    settings=_settings,
    needs=(early_layer,),
    over=_over,
)
