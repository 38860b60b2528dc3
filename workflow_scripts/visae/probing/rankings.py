"""Features ranked by how well they tell classes apart, from one pass over the codes.

Only probe-training images count: a ranking that has seen the test images scores 0.37 on pure
noise where chance is 0.10. The paper's public code ranks on all images; two such rankings are
made beside, for the readings `as_run`. Paper: section 4.3 and Appendix I (per class), Table 2
(one global ranking), section 4.4 (a class against its siblings).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from visae.base import hdf5
from visae.base.arrays import Bool, Float, Int
from visae.base.compiled import njit
from visae.base.declared import Array, check_arrays
from visae.base.errors import UserError
from visae.base.files import atomic_path
from visae.base.progress import counted
from visae.base.reading import guarded
from visae.base.seals import LIBVER, made_of, open_hdf5, seal_hdf5
from visae.base.sparse_hdf5 import SparseDataset
from visae.probing.fstatistic import (
    class_sums,
    correlation_ratio,
    f_all_classes,
    f_one_vs_rest,
)
from visae.probing.siblings import SiblingGroup

FORMAT = "visae-rankings-2"

SIBLING_FEATURES = 4
"""Features kept for each class-against-siblings task (M7 needs four)."""

TIE = 1e-12
"""Correlation ratios that differ by no more are equal: thousands of times their rounding, and a
hundred thousandth of the distance of neighbours among 24,576 unrelated features."""

_BLOCK_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Rankings:
    """Feature indices by descending F, ties (`TIE`) by index, features without variance last."""

    per_class: Int[np.ndarray, "C R"]
    """int32: one class against the rest."""
    classes: Int[np.ndarray, " C"]
    """int64: the label of each row of `per_class` (labels with training images)."""
    overall: Int[np.ndarray, " R"]
    """int32: all classes at once (`/global` in the file)."""
    siblings: Int[np.ndarray, "T S"]
    """int32, S = 4: a class against its siblings."""
    sibling_tasks: Int[np.ndarray, "T 2"]
    """int64: label and index of the sibling group of each row of `siblings`."""
    overall_all_images: Int[np.ndarray, " R"]
    """int32: as `overall`, but by training and test images alike. It leaks: for `as_run` alone."""
    siblings_all_images: Int[np.ndarray, "A S"]
    """int32: as `siblings`, but by all images."""
    sibling_tasks_all_images: Int[np.ndarray, "A 2"]
    """int64: as `sibling_tasks`, of the rows of `siblings_all_images`."""


def rank_features(
    codes_fn: Float[np.ndarray, "F N"] | Float[SparseDataset, "F N"],
    labels: Int[np.ndarray, " N"],
    train_mask: Bool[np.ndarray, " N"],
    sibling_groups: Sequence[SiblingGroup] = (),
    size: int = 1024,
) -> Rankings:
    """Rank all features for every class, for all classes together and for every sibling task.

    codes_fn: [F, N], array or in an open file, read in blocks of features; memory is bounded by
    the block (256 MiB) and by the C' x R result. labels: int [N]. train_mask: bool [N].
    sibling_groups: `probing.siblings.SiblingGroup`s. A sibling task is ranked if both its class
    and the others of its group have training images.

    Raises UserError when fewer than two classes have training images.
    """
    features = codes_fn.shape[0]
    size = min(size, features)
    labels = np.asarray(labels)
    classes, counts = np.unique(labels[train_mask], return_counts=True)
    if classes.size < 2:
        raise UserError(
            f"features cannot be ranked: {classes.size} classes have training images, two are "
            "needed; check the labels of the data set's index"
        )
    every_class, every_count = np.unique(labels, return_counts=True)
    # The sums of a class's training images stand apart from those of its other images.
    column_of_image = np.searchsorted(every_class, labels) + every_class.size * ~train_mask
    trained = np.searchsorted(every_class, classes)
    tasks, groups = _sibling_tasks(sibling_groups, classes)
    every_task, every_group = _sibling_tasks(sibling_groups, every_class)

    per_class = _Best(classes.size, size)
    overall, overall_all = _Best(1, size), _Best(1, size)
    siblings, siblings_all = (
        _Best(len(each), min(SIBLING_FEATURES, features)) for each in (tasks, every_task)
    )
    columns = max(labels.size, 4 * every_class.size)
    blocks = feature_blocks(codes_fn, columns=columns)
    for start, block in counted(
        blocks, "features ranked", features, size=lambda pair: len(pair[1])
    ):
        parts = class_sums(block, column_of_image, 2 * every_class.size)
        sums, squares = (part[:, trained] for part in parts)
        total_squares = squares.sum(axis=1)
        per_class.add(_one_vs_rest(sums, total_squares, counts), start)
        overall.add(_of_all_classes(sums, total_squares, counts)[None], start)
        siblings.add(_against_siblings(sums, squares, counts, groups), start)
        sums, squares = (
            part[:, : every_class.size] + part[:, every_class.size :] for part in parts
        )
        overall_all.add(_of_all_classes(sums, squares.sum(axis=1), every_count)[None], start)
        siblings_all.add(_against_siblings(sums, squares, every_count, every_group), start)
    return Rankings(
        per_class=per_class.features.astype(np.int32),
        classes=classes.astype(np.int64),
        overall=overall.features[0].astype(np.int32),
        siblings=siblings.features.astype(np.int32),
        sibling_tasks=np.array(tasks, dtype=np.int64).reshape(-1, 2),
        overall_all_images=overall_all.features[0].astype(np.int32),
        siblings_all_images=siblings_all.features.astype(np.int32),
        sibling_tasks_all_images=np.array(every_task, dtype=np.int64).reshape(-1, 2),
    )


def _sibling_tasks(sibling_groups, classes):
    """The tasks (label, group index) and, per group, (task's column, columns of its group)."""
    column = {label: i for i, label in enumerate(classes.tolist())}
    tasks, groups = [], []
    for index, group in enumerate(sibling_groups):
        members = [label for label in group.labels if label in column]
        if len(members) > 1:
            tasks += [(label, index) for label in members]
            groups.append(np.array([column[label] for label in members]))
    return tasks, groups


def _one_vs_rest(sums, squares, counts):
    """Correlation ratios [C', b] of every class against the others."""
    f = f_one_vs_rest(sums, squares, counts)
    return correlation_ratio(f, 1, counts.sum() - 2).T


def _of_all_classes(sums, squares, counts):
    """Correlation ratios [b] of all classes at once."""
    f = f_all_classes(sums, squares, counts)
    return correlation_ratio(f, counts.size - 1, counts.sum() - counts.size)


def _against_siblings(sums, squares, counts, groups):
    """Correlation ratios [T, b] of every class of every group against the group's others."""
    rows = [np.empty((0, sums.shape[0]))]
    for columns in groups:
        group_squares = squares[:, columns].sum(axis=1)
        rows.append(_one_vs_rest(sums[:, columns], group_squares, counts[columns]))
    return np.concatenate(rows)


class _Best:
    """The `size` best features of several rankings, kept while blocks of features arrive.

    Blocks are merged only when as many features as are kept have come together: sorting
    10,000 rankings (one per species of iNaturalist) with every small block took most of a pass.
    """

    def __init__(self, rankings, size):
        self.size = size
        self._scores = [np.empty((rankings, 0))]
        self._features = [np.empty((rankings, 0), dtype=np.int64)]
        self._waiting = 0

    def add(self, scores, start):
        """scores: [rankings, b], of the features start ... start + b - 1."""
        block = np.arange(start, start + scores.shape[1])
        self._scores.append(scores)
        self._features.append(np.broadcast_to(block, scores.shape))
        self._waiting += block.size
        if self._waiting >= self.size:
            self._merge()

    def _merge(self):
        scores = np.concatenate(self._scores, axis=1)
        features = np.concatenate(self._features, axis=1)
        order = _descending(scores, features)[:, : self.size]
        self._scores = [np.take_along_axis(scores, order, axis=1)]
        self._features = [np.take_along_axis(features, order, axis=1)]
        self._waiting = 0

    @property
    def features(self):
        """int64 [rankings, size], best first."""
        self._merge()
        return self._features[0]


def _descending(scores, features):
    """Positions [rankings, n] by descending score, ties by feature; both arrays [rankings, n].

    Scores in whose order no step exceeds `TIE` are one tie. Its members are equal on paper, so
    that it reaches no further than their rounding, and whatever a merge has cut off of it were
    those of the largest indices.
    """
    # The stable sort leaves scores equal to the last bit in the order of arrival, by feature.
    order = np.argsort(-scores, axis=1, kind="stable")
    _sort_ties(scores, features, order)
    return order


@njit(nogil=True, cache=True)
def _sort_ties(scores, features, order):
    rankings, n = order.shape
    for ranking in range(rankings):
        score, positions = scores[ranking], order[ranking]
        start = 0
        for end in range(1, n + 1):
            if end < n and score[positions[end - 1]] - score[positions[end]] <= TIE:
                continue
            if score[positions[start]] > score[positions[end - 1]]:
                tied = positions[start:end].copy()
                positions[start:end] = tied[np.argsort(features[ranking][tied])]
            start = end


def feature_blocks(
    codes_fn: Float[np.ndarray, "F N"] | Float[SparseDataset, "F N"], columns: int | None = None
) -> Iterator[tuple[int, Float[np.ndarray, "b N"]]]:
    """Yield (first feature, block [b, N] in memory) over all features of `codes_fn`.

    columns: values of working memory per feature, where they are more than N.
    """
    features, images = codes_fn.shape
    step = max(1, _BLOCK_BYTES // (8 * max(columns or 0, images, 1)))
    height = getattr(codes_fn, "chunks", (1,))[0]
    step = max(height, step // height * height)  # no chunk is read twice
    for start in range(0, features, step):
        yield start, codes_fn[start : start + step]


def gather_features(
    codes_fn: Float[np.ndarray, "F N"] | Float[SparseDataset, "F N"],
    features: Int[np.ndarray, " k"] | Sequence[int],
) -> Float[np.ndarray, "k N"]:
    """The rows `features` of `codes_fn` as an array [len(features), N], in that order.

    Of an open file whole groups of rows are read, only those that hold a feature. Raises
    UserError for a feature that is none.
    """
    features = np.asarray(features)
    if features.size and not 0 <= features.min() <= features.max() < codes_fn.shape[0]:
        raise UserError(
            f"features {features.min()} to {features.max()} are asked for, but the codes have "
            f"{codes_fn.shape[0]} features: remove the ranking of this SAE and run the workflow "
            "again"
        )
    if isinstance(codes_fn, np.ndarray):
        return codes_fn[features]
    rows = np.empty((features.size, codes_fn.shape[1]), dtype=codes_fn.dtype)
    height = codes_fn.chunks[0]
    order = np.argsort(features, kind="stable")
    edges = np.flatnonzero(np.diff(features[order] // height)) + 1
    for chosen in np.split(order, edges) if order.size else []:
        start = features[chosen[0]] // height * height
        rows[chosen] = codes_fn[start : start + height][features[chosen] - start]
    return rows


@dataclass(frozen=True)
class GatheredCodes:
    """The features that some rankings name, in memory."""

    features: Int[np.ndarray, " U"]
    """Ascending."""
    codes_un: Float[np.ndarray, "U N"]

    def rows(self, features: Int[np.ndarray, " k"]) -> Float[np.ndarray, "k N"]:
        """Codes [k, N] of `features` [k], in that order."""
        return self.codes_un[np.searchsorted(self.features, features)]

    def of_images(self, mask: Bool[np.ndarray, " N"]) -> GatheredCodes:
        """The same features on the images of `mask` (bool [N])."""
        # An index would leave the codes of an image together, and `rows` would jump.
        return GatheredCodes(self.features, np.compress(mask, self.codes_un, axis=1))


def gather_ranked(
    codes_fn: Float[np.ndarray, "F N"] | Float[SparseDataset, "F N"],
    *rankings: Int[np.ndarray, "*_"],
) -> GatheredCodes:
    """`GatheredCodes` of all features in `rankings` (integer arrays of any shape)."""
    features = np.unique(np.concatenate([np.ravel(ranking) for ranking in rankings]))
    return GatheredCodes(features, gather_features(codes_fn, features))


def write_rankings(path: str | Path, rankings: Rankings, inputs: Iterable[str | Path] = ()) -> None:
    """Write `rankings/…/{dataset}.h5` (see docs/formats.md). inputs: what they were made of."""
    origin = made_of(path, inputs)
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=LIBVER) as file:
        file["per_class"] = rankings.per_class
        file["classes"] = rankings.classes
        file["global"] = rankings.overall
        file["siblings"] = rankings.siblings
        file["sibling_tasks"] = rankings.sibling_tasks
        file["global_all_images"] = rankings.overall_all_images
        file["siblings_all_images"] = rankings.siblings_all_images
        file["sibling_tasks_all_images"] = rankings.sibling_tasks_all_images
        seal_hdf5(file, path, FORMAT, origin)


def read_rankings(path: str | Path) -> Rankings:
    """Read what `write_rankings` wrote; UserError for a file that is damaged or not this one."""
    with open_hdf5(path, FORMAT) as file, guarded(path, "rankings"):
        found = {name: hdf5.array(file, name) for name in ARRAYS}
        check_arrays(ARRAYS, found)
    return Rankings(
        per_class=found["per_class"],
        classes=found["classes"],
        overall=found["global"],
        siblings=found["siblings"],
        sibling_tasks=found["sibling_tasks"],
        overall_all_images=found["global_all_images"],
        siblings_all_images=found["siblings_all_images"],
        sibling_tasks_all_images=found["sibling_tasks_all_images"],
    )


ARRAYS = {
    "per_class": Array("int32", "C R", least=0),
    "classes": Array("int64", "C", least=0),
    "global": Array("int32", "R", least=0),
    "siblings": Array("int32", "T S", least=0),
    "sibling_tasks": Array("int64", "T 2", least=0),
    "global_all_images": Array("int32", "R", least=0),
    "siblings_all_images": Array("int32", "A S", least=0),
    "sibling_tasks_all_images": Array("int64", "A 2", least=0),
}
"""Arrays of rankings. That features are those of an SAE is checked where its codes are gathered."""
