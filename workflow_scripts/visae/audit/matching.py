"""The same concept in two SAEs: features whose codes rise and fall together.

A feature of one SAE and one of the other match where each is the other's best by the correlation
of their codes. How large a correlation means something is said by a control in which the images of
one side are shuffled. Chance favours rare features: two that each fire on one image correlate
perfectly if it is the same one. So a feature is held against control features that fire as often.

Codes come as sparse matrices [items, features]. An item is an image (the codes are pooled over its
patches), or a patch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from visae.base.arrays import Bool, Float, Int
from visae.base.errors import UserError
from visae.base.progress import counted
from visae.evals.sparse_codes import inner_products

_BLOCK = 512
"""Features of one side whose correlations with all of the other are held at once."""

_TIE = 1e-5
"""Correlations that differ by less are one value: products of images are float32."""

_CONSTANT = 1e-6
"""Standard deviation, in units of the root mean square, of a feature that is the same everywhere:
more than float32 codes leave of equal ones, and less than float16 tells apart."""


class Best(NamedTuple):
    """The best correlations of two SAEs, feature by feature."""

    left: Float[np.ndarray, " A"]
    """The largest with a feature of the right; −∞ where a feature correlates with none."""
    right: Float[np.ndarray, " B"]
    pairs: Int[np.ndarray, "m 2"]
    """Features that are each other's best, each feature once: left, right."""
    strength: Float[np.ndarray, " m"]
    """Their correlation, which is above 0."""


@dataclass(frozen=True)
class Matches:
    """Features of two SAEs that are each other's best, against the control."""

    items: int
    """Images, or patches, over which codes are correlated."""
    live: tuple[int, int]
    """Features of either side that fire on one of them."""
    pairs: Int[np.ndarray, "m 2"]
    """Features that are each other's best: left, right."""
    strength: Float[np.ndarray, " m"]
    """Their correlation."""
    threshold: Float[np.ndarray, " m"]
    """What the control reaches for features that fire as often."""
    in_control: Int[np.ndarray, " S"]
    """How many are each other's best above the threshold in each shuffle of the images."""

    @property
    def above(self) -> Bool[np.ndarray, " m"]:
        """Pairs that are stronger than the control."""
        return self.strength > self.threshold

    @property
    def shares(self) -> tuple[float, float]:
        """Share of either side's live features with a match above the control."""
        return self._shares(int(self.above.sum()))

    @property
    def control_shares(self) -> tuple[float, float]:
        """The same where images are shuffled: the mean over shuffles."""
        return self._shares(float(self.in_control.mean()))

    @property
    def median(self) -> float | None:
        """Median strength of the matches above the control; None where there is none."""
        return float(np.median(self.strength[self.above])) if self.above.any() else None

    def _shares(self, number):
        left, right = (number / live if live else 0.0 for live in self.live)
        return left, right


def match(
    left_nf: Any,
    right_nf: Any,
    shuffles: int,
    quantile: float,
    seed: int,
    patches: int = 1,
    threads: int = 1,
) -> Matches:
    """The `Matches` of two SAEs' codes: sparse [items, A] and [items, B] of the same items.

    shuffles: how often the images of the left are shuffled, at least twice. quantile: of the
    control's best correlations, which a match exceeds. seed: of the shuffles. patches: items of an
    image, which stay together; 1 where items are images.

    Thresholds are those of features that fire on as many items, by powers of two. The control is
    held against the thresholds of the other shuffles. Raises UserError for fewer than two images.
    """
    images = left_nf.shape[0] // patches
    if images < 2:
        raise UserError(
            f"features are matched on {images} common images: a correlation needs two or more, so "
            "compare SAEs that encoded the same split"
        )
    left, right = _Standardised(left_nf), _Standardised(right_nf)
    found = _best(left, right, threads)
    strata = [_strata(side.fires) for side in (left, right)]
    controls = [
        _best(left.in_order(_apart(images, patches, (seed, number))), right, threads)
        for number in range(shuffles)
    ]
    left_live, right_live = (int((of_side >= 0).sum()) for of_side in strata)
    in_control = [
        _above(control, strata, controls[:number] + controls[number + 1 :], quantile).sum()
        for number, control in enumerate(controls)
    ]
    return Matches(
        items=left_nf.shape[0],
        live=(left_live, right_live),
        pairs=found.pairs,
        strength=found.strength,
        threshold=_thresholds(found.pairs, strata, controls, quantile),
        in_control=np.array(in_control, np.int64),
    )


def best(left_nf: Any, right_nf: Any, threads: int = 1) -> Best:
    """The `Best` correlations of sparse codes [items, A] and [items, B], in blocks of the left.

    Of equal correlations as many as possible are taken, each feature once (Hopcroft–Karp): SAEs
    with the same features match completely, also where some of these fire on the same items.
    """
    return _best(_Standardised(left_nf), _Standardised(right_nf), threads)


def _best(left, right, threads):
    best_left, best_right = (
        np.full(len(side.fires), -np.inf, np.float32) for side in (left, right)
    )
    tied = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    for features, block in left.blocks(right, threads):
        best_left[features] = block.max(axis=1)
        best_right[right.features] = np.maximum(best_right[right.features], block.max(axis=0))
        rows, columns = np.nonzero(block >= np.maximum(best_left[features, None] - _TIE, _TIE))
        tied.append((features[rows], right.features[columns], block[rows, columns]))
    rows, columns, values = (np.concatenate(parts) for parts in zip(*tied, strict=True))
    mutual = values >= best_right[columns] - _TIE
    rows, columns, values = rows[mutual], columns[mutual], values[mutual]
    edges = scipy.sparse.csr_array(
        (np.ones(len(rows), bool), (rows, columns)), shape=(len(best_left), len(best_right))
    )
    partner = maximum_bipartite_matching(edges, perm_type="column")
    taken = partner[rows] == columns
    pairs = np.stack([rows[taken], columns[taken]], axis=1)
    order = np.argsort(pairs[:, 0], kind="stable")
    return Best(best_left, best_right, pairs[order], values[taken][order])


def correlations(
    left_nf: Any, right_nf: Any, pairs: Int[np.ndarray, "m 2"]
) -> Float[np.ndarray, " m"]:
    """The correlation of each pair of features (left, right), float64; 0 where one is constant."""
    left, right = (
        scipy.sparse.csc_array(codes, dtype=np.float64)[:, features]
        for codes, features in zip((left_nf, right_nf), pairs.T, strict=True)
    )
    items = left.shape[0]
    (mean_left, std_left), (mean_right, std_right) = _moments(left), _moments(right)
    covariance = np.asarray((left * right).sum(axis=0)).ravel() / items - mean_left * mean_right
    spread = std_left * std_right
    return np.divide(covariance, spread, out=np.zeros(len(pairs)), where=spread > 0)


class _Standardised:
    """One side's features that differ between items, with mean and standard deviation."""

    def __init__(self, codes_nf):
        codes = scipy.sparse.csc_array(codes_nf, dtype=np.float32, copy=True)
        codes.eliminate_zeros()
        self.fires = np.diff(codes.indptr)
        _from_least(codes)
        mean, std = _moments(codes)
        self.features = np.flatnonzero(std > 0)
        self._mean, self._std = mean[self.features], std[self.features]
        self._codes: Any = scipy.sparse.csr_matrix(codes[:, self.features])

    def in_order(self, items):
        """The same of other codes: those of `items`, numbers, in this order."""
        other = copy.copy(self)
        other._codes = scipy.sparse.csr_matrix(self._codes[items])
        return other

    def blocks(self, other, threads) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (features of a block, their correlations with all of `other.features`)."""
        items = self._codes.shape[0]
        columns = scipy.sparse.csc_matrix(self._codes)
        starts = range(0, len(self.features) if len(other.features) else 0, _BLOCK)
        for start in counted(starts, "blocks of features compared", len(starts)):
            part = slice(start, start + _BLOCK)
            own = scipy.sparse.csr_matrix(columns[:, part])
            block = inner_products(own, other._codes, threads=threads) / np.float32(items)
            block -= self._mean[part, None].astype(np.float32) * other._mean.astype(np.float32)
            block /= self._std[part, None].astype(np.float32) * other._std.astype(np.float32)
            yield self.features[part], np.clip(block, -1, 1, out=block)


def _from_least(codes_nf):
    """Subtract from each feature that fires on all items its smallest code.

    It correlates as before, and float32 keeps the digits in which its codes differ.
    """
    items = codes_nf.shape[0]
    for feature in np.flatnonzero(np.diff(codes_nf.indptr) == items):
        own = codes_nf.data[codes_nf.indptr[feature] : codes_nf.indptr[feature + 1]]
        own -= own.min()


def _moments(codes_nf):
    """(mean, standard deviation) of each column, float64; the latter is 0 where it is constant."""
    items = codes_nf.shape[0]
    # SciPy sums in the type of the codes, whatever `dtype` is.
    codes_nf = codes_nf.astype(np.float64)
    mean = np.asarray(codes_nf.sum(axis=0)).ravel() / items
    square = np.asarray(codes_nf.power(2).sum(axis=0)).ravel() / items
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return mean, np.where(std > _CONSTANT * np.sqrt(square), std, 0)


def _strata(fires):
    """int64 [F]: on how many items a feature fires, as a power of two; −1: on none."""
    return np.where(fires > 0, np.floor(np.log2(np.maximum(fires, 1))), -1).astype(np.int64)


def _apart(images, patches, seed):
    """Numbers of items in another order of the images, in which none stays in its place."""
    order = np.random.default_rng(seed).permutation(images)
    moved = np.empty(images, np.int64)
    moved[order] = np.roll(order, 1)  # one cycle through all of them
    return (moved[:, None] * patches + np.arange(patches)).ravel()


def _above(found, strata, controls, quantile):
    return found.strength > _thresholds(found.pairs, strata, controls, quantile)


def _thresholds(pairs, strata, controls, quantile):
    """float32 [m]: what the control reaches for features that fire as often as those of a pair.

    That is the larger one of its two features' thresholds.
    """
    found = []
    for side, of_side in enumerate(strata):
        reached = np.stack([control[side] for control in controls])
        by_stratum = np.zeros(of_side.max(initial=-1) + 2, np.float32)  # the last is that of −1
        for stratum in np.unique(of_side[of_side >= 0]):
            known = reached[:, of_side == stratum]
            known = known[np.isfinite(known)]
            if known.size:
                by_stratum[stratum] = np.quantile(known, quantile, method="higher")
        found.append(by_stratum[of_side[pairs[:, side]]])
    return np.maximum(*found)
