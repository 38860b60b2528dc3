"""What the report shows of pages that lie beside it: a few facts, and a picture beside them."""

from pathlib import Path

from PIL import Image

from visae.audit.pictures import as_webp
from visae.base.seals import (
    check_belongs,
    made_of,
    read_beside,
    read_document,
    write_beside,
    write_document,
)

FEATURES, MATCHES = "visae-card-1", "visae-matches-1"
"""Formats of the facts: of an SAE's features, of two SAEs' matches."""
PICTURE_FORMAT = "visae-card-picture-1"


def write_card(path, kind, card, pixels, inputs=()):
    """Write the facts `card` to the JSON file at `path`, and uint8 [h, w, 3] beside it as WebP.

    kind: their format. inputs: the files that they are made of.
    """
    picture = Path(path).with_suffix(".webp")
    origin = made_of(picture, inputs)
    write_beside(picture, PICTURE_FORMAT, as_webp(Image.fromarray(pixels)), origin)
    write_document(path, kind, card, origin, picture)


def read_card(path, kind):
    """(facts, the bytes of the WebP beside them); UserError unless both were written together."""
    card, picture = read_document(path, kind), Path(path).with_suffix(".webp")
    content = read_beside(picture, PICTURE_FORMAT)
    check_belongs(picture, path)
    return card, content
