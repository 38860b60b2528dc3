"""ANOVA F-statistics of many features and classes from per-class sums.

`sklearn.feature_selection.f_classif` reads all images again for every class. One pass that
leaves Σx and Σx² per class and feature gives the F of every class against the rest, of all
classes together and of a class against any others (paper: Table 2, section 4.3 and 4.4).
"""

from __future__ import annotations

import numpy as np

from visae.base.arrays import Float, Int, Num
from visae.base.compiled import njit

NO_VARIANCE = -1.0
"""F of a feature without variance: below every true F, so that it ranks last."""

# Two different float16 values in 50,000 images make Σ(x - mean)² at least 5e-12 of Σx², and
# the rounding of float64 sums stays below 1e-15 of it.
_ROUNDING = 1e-13


def class_sums(
    codes_bn: Float[np.ndarray, "b N"], classes_n: Int[np.ndarray, " N"], n_classes: int
) -> tuple[Float[np.ndarray, "b C"], Float[np.ndarray, "b C"]]:
    """Σx and Σx² of every feature in every class, in float64.

    codes_bn: float16/32/64 [b, N], a block of features (feature-major). classes_n: int [N],
    0 ... n_classes - 1, or negative for images to leave out. Returns two float64 [b, n_classes].
    """
    codes_bn = np.ascontiguousarray(codes_bn)
    if codes_bn.dtype == np.float16:  # numba has no float16; the conversion is exact
        codes_bn = codes_bn.astype(np.float32)
    return _class_sums(codes_bn, np.asarray(classes_n, dtype=np.int64), n_classes)


@njit(nogil=True, cache=True)
def _class_sums(codes_bn, classes_n, n_classes):
    features, images = codes_bn.shape
    sums = np.zeros((features, n_classes))
    squares = np.zeros((features, n_classes))
    for feature in range(features):
        for image in range(images):
            code = np.float64(codes_bn[feature, image])
            label = classes_n[image]
            if code != 0 and label >= 0:
                sums[feature, label] += code
                squares[feature, label] += code * code
    return sums, squares


def f_two_groups(
    sum_a: Num[np.ndarray, "*#s"],
    count_a: Num[np.ndarray, "*#s"] | np.integer,
    sum_b: Num[np.ndarray, "*#s"],
    count_b: Num[np.ndarray, "*#s"] | np.integer,
    squares: Num[np.ndarray, "*#s"],
) -> Float[np.ndarray, "*s"]:
    """F-statistic of group a against group b (arrays that broadcast).

    sum_a, sum_b: Σx in each group; squares: Σx² over both. Infinite where the groups differ
    and neither varies within, `NO_VARIANCE` where nothing varies.
    """
    images = count_a + count_b
    total = squares - (sum_a + sum_b) ** 2 / images
    # From the difference of means: no cancellation, unlike Σ²/n - Σ²/n.
    between = count_a * count_b / images * (sum_a / count_a - sum_b / count_b) ** 2
    return _f_ratio(between, total, squares, 1, images - 2)


def f_one_vs_rest(
    sums_bc: Float[np.ndarray, "b C"],
    squares_b: Float[np.ndarray, " b"],
    counts_c: Int[np.ndarray, " C"],
) -> Float[np.ndarray, "b C"]:
    """F of each class against all other images: float64 [b, C].

    sums_bc: [b, C] from `class_sums`; squares_b: Σx² over all classes [b]; counts_c: images of
    each class [C], all positive.
    """
    rest_sums = sums_bc.sum(axis=1, keepdims=True) - sums_bc
    rest_counts = counts_c.sum() - counts_c
    return f_two_groups(sums_bc, counts_c, rest_sums, rest_counts, squares_b[:, None])


def f_all_classes(
    sums_bc: Float[np.ndarray, "b C"],
    squares_b: Float[np.ndarray, " b"],
    counts_c: Int[np.ndarray, " C"],
) -> Float[np.ndarray, " b"]:
    """F over all classes at once (scikit-learn's `f_classif`): float64 [b]."""
    images = counts_c.sum()
    grand_mean = sums_bc.sum(axis=1, keepdims=True) / images
    between = (counts_c * (sums_bc / counts_c - grand_mean) ** 2).sum(axis=1)
    total = squares_b - images * grand_mean[:, 0] ** 2
    return _f_ratio(between, total, squares_b, counts_c.size - 1, images - counts_c.size)


def correlation_ratio(
    f: Float[np.ndarray, "*s"],
    between_freedom: int | np.integer,
    within_freedom: int | np.integer,
) -> Float[np.ndarray, "*s"]:
    """√(Σ² between / Σ² in total) of an F-statistic: 0 ... 1, or `NO_VARIANCE`.

    It orders features as F does. Rounding moves it by a few 1e-16 anywhere, while a rounded F is
    relatively worse the smaller or the larger it is.
    """
    with np.errstate(divide="ignore", over="ignore"):
        ratio = 1 / np.sqrt(1 + max(within_freedom, 1) / (between_freedom * np.maximum(f, 0)))
    return np.where(f == NO_VARIANCE, NO_VARIANCE, ratio)


def _f_ratio(between, total, squares, between_freedom, within_freedom):
    """(between / its degrees of freedom) / (within / its own), with its two limits."""
    within = total - between
    within = np.where(within > _ROUNDING * total, within, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = (between / between_freedom) / (within / np.maximum(within_freedom, 1))
    return np.where(total > _ROUNDING * squares, f, NO_VARIANCE)
