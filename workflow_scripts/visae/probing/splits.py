"""The one stratified train/test split that every metric and every SAE of a data set shares.

Paper: Table 2 ("internal stratified 80/20 split, seed = 42").
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from visae.base.arrays import Bool, Int
from visae.base.errors import UserError
from visae.base.reading import parse_csv
from visae.base.seals import made_of, read_text_beside, write_beside

FORMAT = "visae-probe-split-1"
PARTS = ("train", "test")
_COLUMNS = ("image_id", "part")


def stratified_split(
    labels: Int[np.ndarray, " N"], test_fraction: float = 0.2, seed: int = 42
) -> Bool[np.ndarray, " N"]:
    """Choose the test images of every class.

    labels: int [N], any ids (gaps are fine). Returns bool [N], True for test images.

    Each class gives floor or ceil of `test_fraction` x its size, but at least one image to
    either side; which classes round up is chosen (largest remainders first, ties at random)
    so that the overall share is as close to `test_fraction` as that allows. A class with a
    single image goes wholly to train: it can be learned from, not tested. The result depends
    on nothing but the arguments.
    """
    labels = np.asarray(labels)
    if not 0 < test_fraction < 1:
        raise UserError(f"test_fraction is {test_fraction}; it must lie between 0 and 1")
    random = np.random.default_rng(seed)
    _, class_of_image, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    test_counts = _test_counts(sizes, test_fraction, random)
    test_mask = np.zeros(labels.size, dtype=bool)
    images_by_class = np.split(np.argsort(class_of_image, kind="stable"), np.cumsum(sizes))[:-1]
    for images, count in zip(images_by_class, test_counts, strict=True):
        test_mask[random.permutation(images)[:count]] = True
    return test_mask


def _test_counts(sizes, test_fraction, random):
    """Test images of each class: bounded floors, then ceilings until the total fits."""
    # Rounding keeps 0.2 * 50 at 10 where floating point says 10.000000000000002.
    ideal = np.round(test_fraction * sizes, 9)
    largest = np.maximum(sizes - 1, 0)
    smallest = np.minimum(1, largest)
    low = np.clip(np.floor(ideal), smallest, largest).astype(np.int64)
    high = np.clip(np.ceil(ideal), smallest, largest).astype(np.int64)
    missing = round(test_fraction * sizes.sum()) - low.sum()
    can_grow = np.flatnonzero(high > low)
    by_remainder = np.lexsort((random.random(can_grow.size), (low - ideal)[can_grow]))
    counts = low.copy()
    grown = can_grow[by_remainder[: max(missing, 0)]]
    counts[grown] = high[grown]
    return counts


def write_split(
    path: str | Path,
    image_ids: Iterable[str],
    test_mask: Bool[np.ndarray, " N"],
    inputs: Iterable[str | Path] = (),
) -> None:
    """Write `image_id,part` rows (`index/{dataset}/probe_split.csv`); inputs: of which files."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(
        [image_id, PARTS[int(is_test)]]
        for image_id, is_test in zip(image_ids, test_mask, strict=True)
    )
    write_beside(path, FORMAT, text.getvalue(), made_of(path, inputs))


def read_split(path: str | Path, image_ids: Sequence[str]) -> Bool[np.ndarray, " N"]:
    """The test mask, bool [N], of `image_ids` (in their order) from the split written at `path`."""
    rows = parse_csv(read_text_beside(path, FORMAT), path, [_COLUMNS])
    part_of = {row.cells["image_id"]: row.cells["part"] for row in rows}
    if len(part_of) != len(rows):
        raise UserError(f"{path} names an image twice; delete it to have the split made again")
    unknown = sorted(set(part_of.values()) - set(PARTS))
    if unknown:
        raise UserError(f"{path} has the part {unknown[0]!r}; parts are 'train' and 'test'")
    missing = [image_id for image_id in image_ids if image_id not in part_of]
    if missing:
        raise UserError(
            f"{path} lacks {len(missing)} images of the cache, the first is {missing[0]!r}; "
            "delete it to have the split made again from the present index"
        )
    return np.array([part_of[image_id] == "test" for image_id in image_ids], dtype=bool)
