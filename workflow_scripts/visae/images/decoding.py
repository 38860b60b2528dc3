"""Reading image and mask files: every kind of picture comes out as 8-bit RGB, or is named."""

import contextlib
import functools
import os
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from visae.base.errors import UserError
from visae.base.progress import counted
from visae.base.reading import guarded
from visae.images.contents import file_of, mode_of, opened

_PNG = b"\x89PNG\r\n\x1a\n"
"""The first bytes of a PNG."""

LARGEST = 2**28
"""Pixels of the largest picture that is decoded: 0.8 GB as RGB."""

LONGEST = 200
"""How many times longer than wide a picture may be. Resized by its short side, it grows with it."""

# Pillow's own limits are for uploads by strangers: they call large pictures bombs, and a PNG with
# more than 1 MB of text (a prompt, an edit history) unreadable.
Image.MAX_IMAGE_PIXELS = None
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 2**28

# Formats that Pillow names, but cannot decode by itself, and one of metadata.
_STUBS = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}

_LOSSY = {"JPEG", "MPO"}  # formats that change the values of a mask

# Depths of data that are stored in 16 bits (or more): of a camera or a scanner, and bytes.
_DEPTHS = (8, 12, 16)


def is_image(path):
    """Whether Pillow reads the file: by its suffix, or by its first bytes if that tells nothing."""
    if is_named_as_image(path):
        return True
    try:
        with guarded(path, "an image"), Image.open(path, formats=_readable()[1]):
            return True
    except UserError:
        return False


def is_named_as_image(name):
    """Whether the suffix is one of what Pillow reads."""
    return os.path.splitext(name)[1].lower() in _readable()[0]


@functools.cache
def _readable():
    """Suffixes of images, and the formats that are known by their first bytes."""
    Image.init()
    suffixes = {
        suffix
        for suffix, kind in Image.EXTENSION.items()
        if kind in Image.OPEN and kind not in _STUBS
    }
    formats = [kind for kind, (_, begins) in Image.OPEN.items() if begins and kind not in _STUBS]
    return frozenset(suffixes), formats


def load_image(path):
    """Decode the image file at `path` to a PIL image of mode RGB.

    Grey, palette, CMYK and 16-bit images are converted; transparency is dropped and EXIF
    rotation is not applied, as in the usual ImageNet loaders. A mode that a container declares for
    its pictures comes first. Of 16-bit images without a value
    above 4,095 (255), 12 (8) bits are taken to be used. Of an animation it is the first picture.

    Raises:
        UserError: the file is missing, empty, truncated, corrupt, or holds no 8- or 16-bit image;
            or it is too large or too long.
    """
    with _opened(path) as image:
        _check_size(image, path)
        if mode := mode_of(path):
            image = image.convert(mode)
        return _to_rgb(image, path)


def load_mask(path, classes):
    """Decode the mask at `path` to uint8 [H, W]: 0 is unlabelled, v ≥ 1 is the class v − 1.

    Raises:
        UserError: as `load_image`; also a mask of several channels, or a value above `classes`.
    """
    with _opened(path) as image:
        _check_size(image, path)
        _check_mask(image, path)
        mask_hw = np.array(image)
    if mask_hw.max() > classes:
        raise UserError(
            f"The mask {path} holds the class number {mask_hw.max()}, but there are only "
            f"{classes} classes: masks and class list must come from the same data set."
        )
    return mask_hw


def _check_size(image, path):
    width, height = image.size
    if width * height > LARGEST or max(width, height) > LONGEST * min(width, height):
        raise UserError(
            f"The image {path} is {_by(image.size)} pixels: at most {LARGEST:,} pixels and "
            f"{LONGEST} times the shorter side are read, so cut it, make it smaller, or set "
            "`on_bad_image: skip`."
        )


def check_masks(index, root):
    """Compare the size of every image of `index` below `root` with its mask's, by header only.

    Raises:
        UserError: a mask is missing, unreadable, or of another size than its image.
    """
    root = Path(root)
    for record in counted(index.images, "masks compared", len(index.images)):
        if not record.mask:
            raise UserError(
                f"The image '{record.image_id}' has no mask: segmentation needs one per image."
            )
        with _opened(root / record.path) as image, _opened(root / record.mask) as mask:
            _check_mask(mask, root / record.mask)
            image_size, mask_size = image.size, mask.size
        if image_size != mask_size:
            raise UserError(
                f"The mask {root / record.mask} is {_by(mask_size)} pixels, but its image "
                f"{root / record.path} is {_by(image_size)}: unpack the data set again."
            )


def _check_mask(image, path):
    """Refuse a mask whose pixels, as Pillow reads them, are not the class numbers in the file.

    By the header, so before it is decoded.
    """
    if image.mode not in ("L", "P"):
        raise UserError(
            f"The mask {path} has mode {image.mode}, but class numbers need one 8-bit channel: "
            "use the SceneParse150 annotations rather than the full ADE20K's."
        )
    if image.format in _LOSSY:
        raise UserError(
            f"The mask {path} is a {image.format}, which blurs class numbers at their borders: "
            "make the masks again as PNG."
        )
    if image.mode == "L" and _is_stretched(image):
        raise UserError(
            f"The mask {path} has grey values of fewer than 8 bits, which are stretched to 0 … 255 "
            "when read (4 bits: 0 … 4 become 0 … 68): save it with 8 bits, or with a palette."
        )


@contextlib.contextmanager
def _opened(path):
    """The image at `path`, opened; whatever Pillow raises becomes a UserError that names it."""
    cure = "unpack the data set again or set `on_bad_image: skip`."
    try:
        with guarded(file_of(path), "an image", cure), opened(path) as stream:
            _check_sums(stream)
            with Image.open(stream) as image:
                yield image
    except UserError as error:
        if file_of(path) == str(path) or str(path) in str(error):
            raise
        raise UserError(f"The image {path}: {error}") from error


def _check_sums(stream):
    """What is raised of a PNG one of whose parts does not match its checksum; of others nothing.

    Pillow decodes pixels without comparing the checksum of the part that holds them.
    """
    is_png = stream.read(len(_PNG)) == _PNG
    stream.seek(0)
    if is_png:
        with Image.open(stream) as image:
            image.verify()
        stream.seek(0)


def _to_rgb(image, path):
    if image.mode.startswith(("I", "F")):
        # Pillow's own conversion of these modes clips at 255 instead of rescaling.
        values = np.asarray(image)
        if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
            raise UserError(
                f"The image {path} has neither 8 nor 16 bits per channel (mode {image.mode}): "
                "convert it to 8-bit PNG or JPEG."
            )
        depth = next(bits for bits in _DEPTHS if values.max() < 2**bits)
        image = Image.fromarray(np.rint(values * (255 / (2**depth - 1))).astype(np.uint8))
    elif _has_deep_colours(image):
        # Pillow keeps the upper byte of each channel, and of 12 bits that is next to nothing.
        brightest = max(high for _, high in image.getextrema()[:3])  # opaque says nothing
        if 0 < brightest < 16:
            raise UserError(
                f"The image {path} has three channels of 16 bits, of which at most 12 are used: "
                "convert it to 8 bits per channel."
            )
    elif image.mode == "P":
        image = image.convert("RGBA")
    return image.convert("RGB")


def _is_stretched(image):
    """Whether Pillow multiplies grey values, or turns them round, as it decodes them."""
    how = {str(part) for tile in image.tile for part in np.atleast_1d(tile[3])}
    if image.format == "PPM":  # which says its largest value
        return any(part.isdigit() and part != "255" for part in how)
    return any(part.startswith("L;") and part != "L;R" for part in how)


def _has_deep_colours(image):
    """Whether the file has 16 bits in each of several channels; asked before it is decoded."""
    return image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in image.tile)


def _by(size):
    return f"{size[0]}×{size[1]}"
