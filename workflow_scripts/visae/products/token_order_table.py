"""The control of M1: patches in raster order, permuted, and as published for MAE."""

from visae.base.paths import place
from visae.products.product import Product
from visae.products.sources import PUBLISHED, raw_reductions, token_order_control
from visae.study import roles


def _reads(study, paths):
    """M1 of an SAE of each arm, and its raw reductions: each backbone in raster order, permuted."""
    control = roles.existing(roles.control(study))
    sae = control.sae_names()[0]
    layers = roles.main(study).layers | control.layers
    arms = {backbone: layers[backbone] for backbone in _arms(study)}
    return {
        "scores": [paths.metric(sae, "localization", place=place(*at)) for at in arms.items()],
        "raw": raw_reductions(study, paths, arms),
        "published": PUBLISHED,
    }


def _arms(study):
    """{backbone: (the same in raster order, its token order)}, each backbone once."""
    arms = {}
    for raster, permuted in roles.control_arms(study):
        arms |= {raster: (raster, "raster"), permuted: (raster, "permuted")}
    return arms


def _settings(study):
    return {
        "arms": [
            {
                "arm": f"{study.backbones[raster]['label']}, {order}",
                "backbone": raster,
                "token_order": order,
            }
            for raster, order in _arms(study).values()
        ],
        "localization": study.config["metrics"]["localization"],
    }


ENTRY = Product(
    kind="table",
    shows="M1 with patches in raster order, permuted, and as published for MAE",
    reads=_reads,
    settings=_settings,
    needs=(token_order_control,),
)


def make(inputs, settings):
    from visae.tables.coherence import token_order_arms
    from visae.tables.token_order import token_order_table

    arms = token_order_arms(
        settings["arms"],
        inputs["scores"],
        inputs["raw"],
        settings["localization"],
        inputs["published"],
    )
    return token_order_table(arms)
