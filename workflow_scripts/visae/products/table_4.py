"""Table 4: spatial coherence of the backbones' own channels, before any SAE."""

from visae.base.paths import Paths
from visae.products.product import Product
from visae.products.sources import raw_reductions
from visae.study import roles


def _settings(study):
    return {
        "backbones": list(roles.main(study).backbones),
        "localization": study.config["metrics"]["localization"],
    }


ENTRY = Product(
    kind="table",
    shows="spatial coherence of the backbones' own channels",
    reads=lambda study, paths: {"raw": raw_reductions(study, paths, roles.main(study).layers)},
    settings=_settings,
)


def make(inputs, settings):
    from visae.tables.coherence import raw_coherence, table_4

    found = {Paths().backbone_of(path): path for path in inputs["raw"]}
    return table_4(
        {
            backbone: raw_coherence(found[backbone], settings["localization"])
            for backbone in settings["backbones"]
        }
    )
