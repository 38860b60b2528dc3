"""What is known of every feature of an SAE: one pass over its pooled codes, block by block.

A block is a chunk of 1,024 images: of each there stay the labels, and no codes.
"""

from dataclasses import dataclass

import numpy as np

from visae.encoding.reductions import BLOCK_IMAGES, CHUNK_FEATURES

BINS = 12
"""Bars of a feature's histogram of codes, from 0 to its largest."""

_BLOCK_FEATURES = 128 * CHUNK_FEATURES


@dataclass(frozen=True)
class FeatureTable:
    """Columns with a value per feature [F], and how often some features fire together.

    An image counts as one on which a feature fires if one of its patches has a code.
    """

    frequency: np.ndarray
    """Share of the patches on which it fires."""
    images: np.ndarray
    """int64, images on which it fires."""
    mean: np.ndarray
    """The pooled code (the largest of an image), averaged over these images; NaN if dead."""
    largest: np.ndarray
    """Over all images."""
    label: np.ndarray
    """int64, the class with most of these images, the first of equals; −1 where none has any."""
    purity: np.ndarray
    """Share of these images that are of that class, of those with a class; NaN without one."""
    histogram: np.ndarray
    """int64 [F, BINS], these images by their pooled code, from 0 to the largest."""
    together: np.ndarray
    """int64 [S, F]: images on which both a chosen feature and another one fire."""

    @property
    def live(self):
        """bool [F]."""
        return self.images > 0

    def jaccard(self, features):
        """[S, F]: images with both a chosen feature and another by images with either.

        features: the S chosen ones. 0 where neither fires.
        """
        either = self.images[features, None] + self.images - self.together
        return np.divide(self.together, either, out=np.zeros(either.shape), where=either > 0)


def read_table(reductions, chosen):
    """The `FeatureTable` of open `SaeReductions`; chosen: features for `together`."""
    features, chosen = reductions.features, np.asarray(chosen, np.int64)
    largest = np.maximum(reductions.largest.codes[:, 0], 0)
    classes = max(int(reductions.labels.max(initial=-1)) + 1, 1)
    images, sums = np.zeros(features, np.int64), np.zeros(features)
    by_class = np.zeros((features, classes), np.int32)
    histogram = np.zeros((features, BINS), np.int64)
    together = np.zeros((len(chosen), features), np.int64)
    for first in range(0, reductions.images, BLOCK_IMAGES):
        columns = slice(first, min(first + BLOCK_IMAGES, reductions.images))
        labels = reductions.labels[columns]
        order = np.argsort(labels, kind="stable")
        active_fn = np.empty((features, len(labels)), bool)
        for start in range(0, features, _BLOCK_FEATURES):
            rows = slice(start, min(start + _BLOCK_FEATURES, features))
            codes = reductions.codes[rows, columns].astype(np.float32)
            active = np.not_equal(codes, 0, out=active_fn[rows])
            images[rows] += active.sum(axis=1)
            sums[rows] += codes.sum(axis=1, dtype=np.float64)
            by_class[rows] += _by_class(active[:, order], labels[order], classes)
            histogram[rows] += _histogram(codes, active, largest[rows])
        # Counts up to 1,024 are exact in float32, in which products are fast.
        of_chosen = active_fn[chosen].astype(np.float32)
        for start in range(0, features, _BLOCK_FEATURES):
            rows = slice(start, start + _BLOCK_FEATURES)
            together[:, rows] += (of_chosen @ active_fn[rows].T.astype(np.float32)).astype(np.int64)
    with_class = by_class.sum(axis=1)
    return FeatureTable(
        frequency=reductions.firing_count / reductions.tokens,
        images=images,
        mean=_ratio(sums, images),
        largest=largest,
        label=np.where(with_class > 0, by_class.argmax(axis=1), -1),
        purity=_ratio(by_class.max(axis=1), with_class),
        histogram=histogram,
        together=together,
    )


def nearest_by_decoder(decoder_fd, chosen, live_f, number):
    """[(feature, cosine), …] per chosen feature: live ones with the most similar decoder rows."""
    unit_fd = decoder_fd / np.linalg.norm(decoder_fd, axis=1, keepdims=True)
    return nearest(unit_fd[chosen] @ unit_fd.T, chosen, live_f, number)


def nearest(similarity_sf, chosen, live_f, number):
    """[(feature, similarity), …] per chosen feature, at most `number`, itself left out."""
    found = []
    for feature, row in zip(chosen, similarity_sf, strict=True):
        others = live_f.copy()
        others[feature] = False
        candidates = np.flatnonzero(others)
        best = candidates[np.argsort(-row[candidates], kind="stable")[:number]]
        found.append([(int(other), float(row[other])) for other in best])
    return found


def _by_class(active_fn, labels, classes):
    """int32 [F, C]: active images of each class; the columns are sorted by label, −1 is none."""
    counts = np.zeros((len(active_fn), classes), np.int32)
    starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    found = np.add.reduceat(active_fn, starts, axis=1, dtype=np.int32)
    known = labels[starts] >= 0
    counts[:, labels[starts][known]] = found[:, known]
    return counts


def _histogram(codes_fn, active_fn, largest_f):
    """int64 [F, BINS]."""
    rows, columns = np.nonzero(active_fn)
    share = codes_fn[rows, columns] / largest_f[rows]  # half precision may round a code up
    bins = np.minimum((share * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(rows * BINS + bins, minlength=len(codes_fn) * BINS)
    return counts.reshape(-1, BINS)


def _ratio(numerator, denominator):
    undefined = np.full(len(denominator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)
