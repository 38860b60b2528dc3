"""Photographs from installed packages, regions of them, and random crops of regions."""

import functools
import importlib.util
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from visae.base.errors import UserError
from visae.images.decoding import load_image

_FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}


class Region(NamedTuple):
    """A rectangle in a photograph, in its pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self):
        return self.right - self.left

    @property
    def height(self):
        return self.bottom - self.top


def package_file(package, inside):
    """Path of a file inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    folders = (spec and spec.submodule_search_locations) or [package]
    path = Path(folders[0], inside)
    if not path.exists():
        raise UserError(
            f"The demo needs {path}, which this version of {package} does not bring: install the "
            "versions of requirements.txt."
        )
    return path


@functools.cache
def photograph(file):
    """The bundled photograph with this file name, as a PIL image of mode RGB."""
    package = "sklearn" if file in ("china.jpg", "flower.jpg") else "skimage"
    return load_image(package_file(package, f"{_FOLDERS[package]}/{file}"))


def whole(image):
    """The region that is all of `image`."""
    return Region(0, 0, *image.size)


def split_region(region, rows, columns):
    """Cut `region` into rows × columns, in raster order, without gaps or overlaps."""
    xs = [region.left + region.width * i // columns for i in range(columns + 1)]
    ys = [region.top + region.height * i // rows for i in range(rows + 1)]
    return [Region(xs[c], ys[r], xs[c + 1], ys[r + 1]) for r in range(rows) for c in range(columns)]


def train_and_held_out(region):
    """Cut `region` into thirds along its longer side: ([outer, outer], [middle]).

    Crops of the two lists share no pixel, and the held-out third lies between the others, so
    that it shows what they show.
    """
    rows, columns = (3, 1) if region.height > region.width else (1, 3)
    first, middle, last = split_region(region, rows, columns)
    return [first, last], [middle]


def random_crop(image, regions, rng, size, sides=None):
    """A square crop of one of `regions` at random, as `size` × `size` pixels.

    `sides` is the range of the crop's side in the photograph's pixels; by default 70–95 % of
    the region's shorter side.
    """
    region = regions[rng.integers(len(regions))]
    shorter = min(region.width, region.height)
    low, high = sides or (0.7 * shorter, 0.95 * shorter)
    side = min(round(rng.uniform(low, high)), shorter)
    left = region.left + int(rng.integers(region.width - side + 1))
    top = region.top + int(rng.integers(region.height - side + 1))
    # Cropped before it is resized: the resampling filter must not reach into other regions.
    crop = image.crop((left, top, left + side, top + side))
    return crop.resize((size, size), Image.Resampling.BICUBIC)


def save(image, file):
    """Write a JPEG of quality 95 to a path, whatever its suffix, or into an open binary file."""
    image.save(file, format="JPEG", quality=95)
