"""The images of a task with their truth: a class for each image, or one for each patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visae.backbones.preprocessing import Preprocessing
from visae.base.arrays import Int, Num
from visae.base.errors import UserError
from visae.base.pools import Threads
from visae.evals.segmentation.compute import as_seen, most_frequent
from visae.images.decoding import load_image, load_mask
from visae.images.index import ImageIndex, ImageRecord, spread
from visae.interventions.settings import CLASSIFICATION, SEGMENTATION


@dataclass(frozen=True)
class Images:
    """Images as the backbone sees them."""

    records: Sequence[ImageRecord]
    pixels: Num[np.ndarray, "n 3 S S"]
    """Resized and cropped."""
    labels: Int[np.ndarray, "n U"]
    """Numbers in the task's classes, of an image (U = 1) or of its patches; −1: unlabelled."""


@dataclass(frozen=True)
class Task:
    """One data set, and what heads are asked of it."""

    dataset: str
    kind: str
    """Of `HEADS`: `classification` or `segmentation`."""
    classes: tuple[str, ...]
    """Names of the C classes that heads tell apart."""
    train: Images
    """Heads are fitted and features chosen on them."""
    test: Images


def classification_task(
    dataset: str,
    train: ImageIndex,
    test: ImageIndex,
    roots: tuple[str | Path, str | Path],
    transform: Preprocessing,
    settings: dict,
    threads: int = 1,
    skip: bool = False,
) -> Task:
    """The Task of a data set whose images have classes.

    train, test: indices of labelled images. roots: their folders. settings: `classes` (at most so
    many are told apart, evenly spread over those that both have), `train_images` and `images` (at
    most so many, spread over the classes). skip: leave unreadable images out.

    Raises UserError for an unreadable image, or where fewer than two classes are in both.
    """
    in_both = {record.label for record in train.images} & {record.label for record in test.images}
    known = sorted(label for label in in_both if label >= 0)
    if len(known) < 2:
        raise UserError(
            f"interventions need two classes with training and test images, but {dataset} has "
            f"{len(known)}: take it out of interventions.datasets"
        )
    number = min(settings["classes"], len(known))
    chosen = [known[place * len(known) // number] for place in range(number)]
    names = {record.label: record.class_name for record in train.classes}

    def images(index, most, root):
        own = tuple(record for record in index.images if record.label in chosen)
        records = spread(index._replace(images=own), most).images
        kept, pixels = _pixels(records, root, transform, threads, skip)
        labels = [[chosen.index(record.label)] for record in kept]
        return Images(kept, pixels, np.array(labels, np.int64).reshape(-1, 1))

    return Task(
        dataset,
        CLASSIFICATION,
        tuple(names[label] for label in chosen),
        images(train, settings["train_images"], roots[0]),
        images(test, settings["images"], roots[1]),
    )


def segmentation_task(
    dataset: str,
    train: ImageIndex,
    test: ImageIndex,
    root: str | Path,
    transform: Preprocessing,
    grid: tuple[int, int],
    settings: dict,
    threads: int = 1,
    skip: bool = False,
) -> Task:
    """The Task of a data set with masks; heads tell all of its classes apart.

    The other arguments are those of `classification_task`. Raises UserError for an unreadable image
    or mask, or without a labelled patch.
    """
    classes = len(train.classes)

    def images(index, key):
        records = spread(index, settings[key]).images
        kept, pixels = _pixels(records, root, transform, threads, skip)

        def labels_of(record):
            mask_hw = load_mask(Path(root) / record.mask, classes)
            return most_frequent(as_seen(mask_hw, transform), grid)

        with Threads(threads) as pool:
            found = list(pool.map(labels_of, ((record,) for record in kept)))
        labels = np.array(found, np.int64).reshape(len(kept), -1)
        if (labels < 0).all():
            raise UserError(
                f"no patch of {len(kept)} images of {dataset} is labelled: raise "
                f"interventions.{key}, or take {dataset} out of interventions.datasets"
            )
        return Images(kept, pixels, labels)

    names = tuple(record.class_name for record in train.classes)
    return Task(
        dataset, SEGMENTATION, names,
        images(train, "train_images"), images(test, "images"),
    )  # fmt: skip


def _pixels(records, root, transform, threads, skip):
    """(records that can be read, their pixels [n, 3, S, S]); UserError where none can."""

    def read(record):
        try:
            return record, transform.pixels(load_image(Path(root) / record.path))
        except UserError:
            if skip:
                return record, None
            raise

    with Threads(threads) as pool:
        found = [pair for pair in pool.map(read, ((r,) for r in records)) if pair[1] is not None]
    if not found:
        raise UserError(f"no image of {len(records)} below {root} can be read: see to that folder")
    return [record for record, _ in found], np.stack([pixels for _, pixels in found])
