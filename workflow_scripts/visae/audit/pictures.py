"""Pictures for pages: what the backbone saw of an image, large enough to be looked at.

They are resized and cropped as the backbone's preprocessing says, so that its H × W patches are the
cells of an even grid on them.
"""

import functools
import io

import numpy as np
from PIL import Image

from visae.images.decoding import load_image

SIDE = 160
"""Pixels that the side of a picture has at least."""

_QUALITY = 80
_VEIL = np.array([16, 18, 24])  # drawn over patches, the less the higher their code
_OPACITY = {"silent": 0.7, "faint": 0.45}  # the same as in assets/look.js


def as_seen(image, preprocessing):
    """The part of a PIL image that the backbone saw, as a PIL image.

    It has the backbone's own resolution, or the least multiple of it with `SIDE` pixels.
    """
    larger = preprocessing.in_bytes(-(-SIDE // min(preprocessing.shape)))
    return Image.fromarray(larger.pixels(image).transpose(1, 2, 0))


def as_webp(picture):
    """The bytes of a PIL image as WebP."""
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=_QUALITY, method=2)
    return content.getvalue()


@functools.lru_cache(4096)
def webp_of(path, preprocessing):
    """The bytes of the image file at `path` as the backbone saw it; several pages may show it."""
    return as_webp(as_seen(load_image(path), preprocessing))


def veiled(picture, shares_hw):
    """`picture` with its patches drawn over, uint8 [h, w, 3]; shares [H, W]: codes in 0 … 1.

    A silent patch is dark; one that fires is the lighter the larger its code.
    """
    pixels = np.asarray(picture, np.float32)
    rows, columns = (
        np.arange(side) * cells // side
        for side, cells in zip(pixels.shape[:2], shares_hw.shape, strict=True)
    )
    faint = _OPACITY["faint"] * (1 - shares_hw)
    opacity = np.where(shares_hw > 0, faint, _OPACITY["silent"])[rows][:, columns, None]
    return np.round((1 - opacity) * pixels + opacity * _VEIL).astype(np.uint8)


def strip(images, shares_nhw, preprocessing):
    """PIL images side by side as the backbone saw them, `veiled` by their shares [n, H, W]."""
    pictures = [as_seen(image, preprocessing) for image in images]
    return np.concatenate(
        [veiled(picture, shares) for picture, shares in zip(pictures, shares_nhw, strict=True)],
        axis=1,
    )
