"""A picture and a line of each SAE that has pages beside the report, with links to them."""

import io
import os
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from visae.audit.cards import read_card
from visae.report.figures_section import data_uri


class SaePages(NamedTuple):
    """The pages of one SAE: of its features, or of what edits of them do."""

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


def sae_pages(study, saes, cards, kind, folder):
    """The `SaePages` of some `Sae`s of a study, of those with a card.

    cards: (place, SAE) → its `card.json`, beside the card. kind: their format (`audit.cards`).
    folder: a function of an SAE's name and its place, of `Paths`.
    """
    report = Path(study.paths.report()).parent
    found = []
    for sae in saes:
        if (sae.place, sae.name) not in cards:
            continue
        about, picture = read_card(cards[sae.place, sae.name], kind)
        with Image.open(io.BytesIO(picture)) as image:
            size = image.size
        found.append(
            SaePages(
                label=study.backbones[sae.backbone]["label"],
                layer=sae.layer,
                sae=sae.name,
                about=about,
                source=data_uri(picture, "webp"),
                size=size,
                folder=os.path.relpath(folder(sae.name, "", sae.place), report),
            )
        )
    return found
