"""The figures of a study as data URIs, with what they show and over how many SAEs."""

import base64
import io
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from visae.base.seals import read_beside
from visae.figures import FORMAT
from visae.report.cells import in_order, title_of

# CSS pixels per inch of a figure: its smallest letters (6 points) come out about 11 pixels high.
_SCALE = 130
_DPI = 300  # of the files, see visae.figures.style


class FigureView(NamedTuple):
    """One figure. `width` and `height` are in CSS pixels; n is a sentence or empty."""

    name: str
    title: str
    caption: str
    n: str
    source: str
    width: int
    height: int


def read_figures(paths, captions):
    """The PNG files at `paths` with their captions.

    captions: figure → (what it shows, a clause; the sentence with n, or "").
    """
    figures = [_figure(Path(path), *captions[Path(path).stem]) for path in paths]
    return sorted(figures, key=lambda figure: in_order(figure.name, "figure"))


def data_uri(content, kind):
    """Bytes as a data URI of a picture of the MIME subtype `kind`."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _figure(path, shows, counted):
    content = read_beside(path, FORMAT)
    with Image.open(io.BytesIO(content)) as image:
        width, height = (round(side / _DPI * _SCALE) for side in image.size)
    return FigureView(
        name=path.stem,
        title=title_of(path.stem),
        caption=f"{shows[:1].upper()}{shows[1:]}.",
        n=counted,
        source=data_uri(content, "png"),
        width=width,
        height=height,
    )
