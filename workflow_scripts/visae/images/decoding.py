"""Reading image and mask files: every kind of picture comes out as 8-bit RGB, or is named."""

import contextlib
import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from visae.base.errors import UserError
from visae.images.arrow import image_bytes, is_arrow_row

# What Pillow raises on files that are truncated, corrupt or no image at all.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def load_image(path):
    """Decode the image file at `path` to a PIL image of mode RGB.

    Grey, palette, CMYK and 16-bit images are converted; transparency is dropped and EXIF
    rotation is not applied, as in the usual ImageNet loaders.

    Raises:
        UserError: the file is missing, empty, truncated, corrupt, or holds no 8- or 16-bit image.
    """
    with _opened(path) as image:
        return _to_rgb(image, path)


def load_mask(path, classes):
    """Decode the mask at `path` to uint8 [H, W]: 0 is unlabelled, v ≥ 1 is the class v − 1.

    Raises:
        UserError: as `load_image`; also a mask of several channels, or a value above `classes`.
    """
    with _opened(path) as image:
        if image.mode not in ("L", "P"):
            raise UserError(
                f"The mask {path} has mode {image.mode}, but class numbers need one 8-bit channel: "
                "use the SceneParse150 annotations rather than the full ADE20K's."
            )
        mask_hw = np.array(image)
    if mask_hw.max() > classes:
        raise UserError(
            f"The mask {path} holds the class number {mask_hw.max()}, but there are only "
            f"{classes} classes: masks and class list must come from the same data set."
        )
    return mask_hw


def check_masks(index, root):
    """Compare the size of every image of `index` below `root` with its mask's, by header only.

    Raises:
        UserError: a mask is missing, unreadable, or of another size than its image.
    """
    root = Path(root)
    for record in index.images:
        if not record.mask:
            raise UserError(
                f"The image '{record.image_id}' has no mask: segmentation needs one per image."
            )
        image_size, mask_size = _size(root / record.path), _size(root / record.mask)
        if image_size != mask_size:
            raise UserError(
                f"The mask {root / record.mask} is {_by(mask_size)} pixels, but its image "
                f"{root / record.path} is {_by(image_size)}: unpack the data set again."
            )


def _size(path):
    with _opened(path) as image:
        return image.size


@contextlib.contextmanager
def _opened(path):
    """The image at `path`, opened; whatever Pillow raises becomes a UserError that names it."""
    try:
        with Image.open(io.BytesIO(image_bytes(path)) if is_arrow_row(path) else path) as image:
            yield image
    except _BROKEN as error:
        raise UserError(
            f"The image {path} cannot be read ({error}): it is missing, empty, truncated, corrupt "
            "or no image; unpack the data set again or set `on_bad_image: skip`."
        ) from error


def _to_rgb(image, path):
    if image.mode.startswith(("I", "F")):
        # Pillow's own conversion of these modes clips at 255 instead of rescaling.
        values = np.asarray(image)
        if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
            raise UserError(
                f"The image {path} has neither 8 nor 16 bits per channel (mode {image.mode}): "
                "convert it to 8-bit PNG or JPEG."
            )
        image = Image.fromarray(np.rint(values / 257).astype(np.uint8))
    elif image.mode == "P":
        image = image.convert("RGBA")
    return image.convert("RGB")


def _by(size):
    return f"{size[0]}×{size[1]}"
