"""Table 1: how the SAEs of the main sweep were trained."""

from dataclasses import asdict

from visae.products.product import Product
from visae.products.sources import on_main
from visae.sae.families import FAMILIES
from visae.study import roles


def _reads(study, paths):
    """One SAE of each backbone: its width is that of the activations."""
    sweep = roles.main(study)
    sae = sweep.sae_names()[0]
    return {"saes": [paths.sae(sae, "config.yaml", place) for place in sweep.places]}


def _settings(study):
    """The config, and what the family's entry says of it: the table follows both."""
    keys = ("sweeps", "backbones", "training", "seed")
    config = {key: study.config[key] for key in keys}
    sweep = roles.main(study)
    return {
        **on_main(study),
        "config": config,
        "trained": not sweep.imported,
        "layers": sweep.layers,
        "saes": [spec.text for spec in sweep.saes],
        "said": asdict(FAMILIES[sweep.family]),
    }


ENTRY = Product(
    kind="table",
    shows="how the SAEs of the main sweep were trained",
    reads=_reads,
    settings=_settings,
)


def make(inputs, settings):
    from visae.sae.folder import read_config
    from visae.sae.specs import SaeSpec
    from visae.tables.settings import table_1

    saes = [read_config(path) for path in inputs["saes"]]
    widths = {sae["data"]["backbone"]: sae["input_dim"] for sae in saes}
    specs = [SaeSpec.from_text(text) for text in settings["saes"]]
    known = {name: settings[name] for name in ("config", "sweep", "trained", "layers")}
    return table_1(widths=widths, saes=specs, **known)
