"""Layouts: how each data set lies on disk, as its authors ship it.

A layout is a module with `SPLITS` (the names of its splits, None for any), `SOURCE` (where the
data set is to be had) and `read(root, split)`, which returns the image records of the split and
the class records of the whole data set. The label of a class is the same in every split.
"""

from pathlib import Path

from visae.base.errors import UserError
from visae.images.index import build_index
from visae.images.layouts import ade20k, cub_200_2011, dtd, huggingface, imagenet, inaturalist_2021

LAYOUTS = {
    "imagenet": imagenet,
    "cub_200_2011": cub_200_2011,
    "dtd": dtd,
    "inaturalist_2021": inaturalist_2021,
    "ade20k": ade20k,
    "huggingface": huggingface,
}


def index_images(layout, root, split):
    """Index one split of the data set below `root`, which lies there in the named `layout`.

    Returns:
        visae.images.index.ImageIndex

    Raises:
        UserError: unknown layout or split, a missing or half-unpacked folder, an empty class
            folder, lists that contradict the images on disk or each other, overlapping splits.
    """
    if layout not in LAYOUTS:
        raise UserError(f"The layout '{layout}' is unknown: choose one of {', '.join(LAYOUTS)}.")
    module = LAYOUTS[layout]
    if module.SPLITS is not None and split not in module.SPLITS:
        raise UserError(
            f"The layout '{layout}' has no split '{split}': choose one of "
            f"{', '.join(module.SPLITS)}."
        )
    root = Path(root)
    if not root.is_dir():
        raise UserError(
            f"The data set's root {root} is no folder: set `root` to where the data set is "
            f"unpacked, or get it from {module.SOURCE}."
        )
    images, classes = module.read(root, split)
    return build_index(images, classes, f"split '{split}' of {root}")
