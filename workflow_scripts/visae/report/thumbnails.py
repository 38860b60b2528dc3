"""Small pictures of the images that examples show, all in one sheet: each is embedded once."""

import io
import math
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

from visae.images.decoding import load_image
from visae.report.figures_section import data_uri

SIDE = 48
"""Pixels; a multiple of 16, the blocks in which WebP codes, so that neighbours do not bleed."""

_QUALITY = 75


class Sheet(NamedTuple):
    """The picture that holds all thumbnails, and where each is: image id → (column, row)."""

    source: str
    places: dict


def draw_sheet(images, root):
    """The `Sheet` of `images` (`ImageRecord`s), read below `root` and cropped to their centre."""
    columns = max(1, math.isqrt(max(len(images) - 1, 0)) + 1)
    rows = max(1, -(-len(images) // columns))
    sheet = Image.new("RGB", (columns * SIDE, rows * SIDE))
    places = {}
    for position, record in enumerate(images):
        row, column = divmod(position, columns)
        image = ImageOps.fit(load_image(Path(root) / record.path), (SIDE, SIDE))
        sheet.paste(image, (column * SIDE, row * SIDE))
        places[record.image_id] = (column, row)
    content = io.BytesIO()
    sheet.save(content, "WEBP", quality=_QUALITY, method=4)
    return Sheet(data_uri(content.getvalue(), "webp"), places)
