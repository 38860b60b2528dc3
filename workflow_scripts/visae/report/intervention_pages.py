"""A picture and a line of each SAE whose features are edited, with a link to its page."""

import io
import os
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from visae.interventions.pages import read_card
from visae.report.figures_section import data_uri
from visae.study import roles


class InterventionPages(NamedTuple):
    """The page of one SAE."""

    label: str
    layer: int
    sae: str
    about: dict
    """What `card.json` says (docs/formats.md)."""
    source: str
    """The card: a data URI."""
    size: tuple
    """Its width and height in pixels."""
    page: str
    """The page, seen from the report."""


def intervention_pages(study, cards):
    """The `InterventionPages` of a study's SAEs; cards: (place, SAE) → its `card.json`."""
    found = []
    for sae in roles.edited(study) if cards else []:
        about, picture = read_card(cards[sae.place, sae.name])
        with Image.open(io.BytesIO(picture)) as image:
            size = image.size
        page = study.paths.interventions(sae.name, "index.html", sae.place)
        found.append(
            InterventionPages(
                label=study.backbones[sae.backbone]["label"],
                layer=sae.layer,
                sae=sae.name,
                about=about,
                source=data_uri(picture, "webp"),
                size=size,
                page=os.path.relpath(page, Path(study.paths.report()).parent),
            )
        )
    return found
