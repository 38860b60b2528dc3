"""A picture and a line of each two SAEs whose features are matched, with links to their pages."""

import io
import os
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from visae.audit.cards import MATCHES, read_card
from visae.report.figures_section import data_uri
from visae.study import roles

PICTURES = 2
"""Pairs whose pictures are embedded: those of the largest shares, of two backbones first."""


class Pair(NamedTuple):
    """The page of two SAEs."""

    names: tuple
    """What each is called: its backbone's label, and its own name where backbones are the same."""
    facts: dict
    """What `card.json` says (docs/formats.md)."""
    page: str
    """The page, seen from the report."""
    source: str | None
    """The picture: a data URI; None where it is not embedded."""
    size: tuple
    """Its width and height in pixels."""


def match_pages(study, cards):
    """The `Pair`s of a study; cards: (SAE, SAE), full names → their `card.json`, beside the card.

    The largest share of features with a match over images comes first; pairs of one backbone are
    last. Empty without cards.
    """
    found = []
    for left, right in roles.matched(study) if cards else []:
        pair = left.full_name, right.full_name
        facts, picture = read_card(cards[pair], MATCHES)
        page = os.path.relpath(study.paths.matches(*pair), Path(study.paths.report()).parent)
        names = tuple(study.backbones[sae.backbone]["label"] for sae in (left, right))
        if left.backbone == right.backbone:
            names = tuple(f"{names[0]}, {sae.name}" for sae in (left, right))
        share = min(facts["kinds"]["images"]["shares"])
        order = left.backbone == right.backbone, -share, pair
        found.append((order, names, facts, page, picture))
    found.sort(key=itemgetter(0))
    return [
        _pair(names, facts, page, picture if place < PICTURES else None)
        for place, (_, names, facts, page, picture) in enumerate(found)
    ]


def _pair(names, facts, page, picture):
    if picture is None or facts["best"] is None:
        return Pair(names, facts, page, None, (0, 0))
    with Image.open(io.BytesIO(picture)) as image:
        return Pair(names, facts, page, data_uri(picture, "webp"), image.size)
