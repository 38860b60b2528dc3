"""A picture and a line of each SAE whose features have pages, with links to them."""

import io
import os
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from visae.audit.cards import FEATURES, read_card
from visae.report.figures_section import data_uri
from visae.study import roles


class FeaturePages(NamedTuple):
    """The pages of one SAE."""

    label: str
    layer: int
    sae: str
    about: dict
    """What `card.json` says (docs/formats.md)."""
    source: str
    """The card: a data URI."""
    size: tuple
    """Its width and height in pixels."""
    folder: str
    """The folder of the pages, seen from the report."""


def feature_pages(study, cards):
    """The `FeaturePages` of a study's SAEs; cards: (place, SAE) → its `card.json`, beside the card.

    Empty without cards.
    """
    found = []
    for sae in roles.on_pages(study) if cards else []:
        about, picture = read_card(cards[sae.place, sae.name], FEATURES)
        with Image.open(io.BytesIO(picture)) as image:
            size = image.size
        found.append(
            FeaturePages(
                label=study.backbones[sae.backbone]["label"],
                layer=sae.layer,
                sae=sae.name,
                about=about,
                source=data_uri(picture, "webp"),
                size=size,
                folder=os.path.relpath(
                    study.paths.features(sae.name, "", sae.place),
                    Path(study.paths.report()).parent,
                ),
            )
        )
    return found
