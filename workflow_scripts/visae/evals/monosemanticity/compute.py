"""M5 monosemanticity: how alike the images are that a feature responds to most.

Similarity is measured in the embedding space of another backbone (the evaluator), corrected
for how alike random images are there. Paper: section 4.3 (Eq. 5), Appendix K, Table 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from visae.base.arrays import Float, Int
from visae.base.errors import UserError
from visae.encoding.largest import TOP, LargestCodes
from visae.evals.results import Result

MAX_FEATURES = 2048
BASELINE_GROUPS = 1000

_BLOCK = 256

_ROUNDING = 1e-5
"""Of cosines in float32: a baseline this close to 1 leaves no headroom to normalise by."""


def compute(inputs, settings, job):
    """M5 of an SAE."""
    encoded = inputs.encoded()
    return monosemanticity(
        encoded.largest,
        inputs.embeddings(),
        inputs.evaluator,
        encoded.labels,
        job.seed,
        max_features=settings["features"],
        top=settings["top_images"],
        baseline_groups=settings["baseline_groups"],
    )


def monosemanticity(
    largest: LargestCodes,
    embeddings: Mapping[str, Float[np.ndarray, "N _"]],
    evaluator: str,
    labels: Int[np.ndarray, " N"],
    seed: int = 42,
    max_features: int = MAX_FEATURES,
    top: int = TOP,
    baseline_groups: int = BASELINE_GROUPS,
) -> Result:
    """M5.

    largest: the `encoding.largest.LargestCodes` of N images. embeddings: evaluator name -> float
    [N, D'] (patch tokens mean-pooled; L2-normalised here). evaluator: the name whose space gives
    the headline; each other one gives readings, for the backbone x evaluator table. labels: int
    [N].

    Arrays, one row per scored feature, in the headline's space: `features` int64,
    `monosemanticity`, `within`, `between` (NaN without such pairs), `within_share` float64.
    """
    selection = top_images(largest, seed, max_features, top)
    spaces = {
        name: _score_in(space, selection, labels, seed, baseline_groups)
        for name, space in embeddings.items()
    }
    headline = spaces[evaluator]
    data = {
        "features": len(largest.live),
        "live_features": int(np.count_nonzero(largest.live)),
        "selected_features": selection.features.size,
        "scored_features": int(headline.scored.sum()),
        "images": len(labels),
    }
    others = {
        f"{reading}_in_{name}": number
        for name, space in spaces.items()
        if name != evaluator
        for reading, number in (("normalised", space.normalised), ("raw", space.raw))
    }
    scored = headline.scored
    baseline_of_top = _baseline(
        unit_rows(embeddings[evaluator])[np.unique(selection.images[scored])],
        selection.images.shape[1],
        seed,
        baseline_groups,
    )
    return Result(
        value=headline.normalised,
        reason=headline.reason(data),
        readings={
            "raw": headline.raw,
            "baseline": headline.baseline,
            "within_class": _mean(headline.within),
            "between_class": _mean(headline.between),
            "within_class_share": _mean(headline.within_share[scored]),
            "as_run": None
            if headline.raw is None or baseline_of_top is None
            else headline.raw - baseline_of_top,
            "as_run_baseline": baseline_of_top,
            **others,
        },
        details={
            "evaluator": evaluator,
            "top_images": selection.images.shape[1],
            "baseline_groups": baseline_groups,
            "seed": seed,
            "pooling": "mean over patch tokens, then L2 norm 1",
        },
        data=data,
        arrays={
            "features": selection.features[scored],
            "monosemanticity": headline.cosine[scored],
            "within": headline.within[scored],
            "between": headline.between[scored],
            "within_share": headline.within_share[scored],
        },
    )


@dataclass(frozen=True)
class TopImages:
    """The images that some features respond to most."""

    features: Int[np.ndarray, " S"]
    """Ascending."""
    images: Int[np.ndarray, "S top"]
    """Descending by code, ties by index."""
    weights: Float[np.ndarray, "S top"]
    """Codes scaled to 0 ... 1 by the feature's extremes over all images; 0 if
    the feature is the same on all images."""


def top_images(
    largest: LargestCodes, seed: int, max_features: int = MAX_FEATURES, top: int = TOP
) -> TopImages:
    """Choose up to `max_features` live features (uniform, seeded) and their top images."""
    features = np.flatnonzero(largest.live)
    if features.size > max_features:
        random = np.random.default_rng(seed)
        features = np.sort(random.choice(features, max_features, replace=False))
    codes = largest.codes[features, :top].astype(np.float64)
    low = largest.least[features, None].astype(np.float64)
    extent = codes[:, :1] - low
    weights = np.where(extent > 0, (codes - low) / np.where(extent > 0, extent, 1), 0)
    return TopImages(features, largest.images[features, :top], weights)


@dataclass(frozen=True)
class _Space:
    """A selection's similarities in one embedding space; NaN: undefined."""

    cosine: Float[np.ndarray, " S"]
    within: Float[np.ndarray, " S"]
    between: Float[np.ndarray, " S"]
    within_share: Float[np.ndarray, " S"]
    baseline: float | None

    @property
    def scored(self):
        return ~np.isnan(self.cosine)

    @property
    def raw(self):
        return _mean(self.cosine)

    @property
    def normalised(self):
        if self.raw is None or self.baseline is None or self.baseline > 1 - _ROUNDING:
            return None
        return (self.raw - self.baseline) / (1 - self.baseline)

    def reason(self, data):
        if self.normalised is not None:
            return None
        if self.raw is None:
            return (
                f"none of the {data['selected_features']} live features responds to two images "
                "more than to others"
            )
        return f"random groups of images are as alike as can be (baseline {self.baseline})"


def unit_rows(embeddings_nd: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    """Embeddings [N, D'] of length 1, float32."""
    embeddings_nd = np.asarray(embeddings_nd, dtype=np.float32)
    norms_n = np.linalg.norm(embeddings_nd, axis=1, keepdims=True)
    if not (norms_n > 0).all():
        raise UserError(
            f"image number {int(np.argmin(norms_n))} of the evaluation split has an embedding of "
            "length 0, which has no cosine with others: check the evaluator's weights and the image"
        )
    return embeddings_nd / norms_n


def _score_in(embeddings_nd, selection, labels, seed, baseline_groups):
    embeddings_nd = unit_rows(embeddings_nd)
    sums = [np.empty((4, 0))]
    first, second = np.triu_indices(selection.images.shape[1], 1)
    for start in range(0, selection.features.size, _BLOCK):
        images = selection.images[start : start + _BLOCK]
        weights = selection.weights[start : start + _BLOCK]
        embedded = embeddings_nd[images]
        cosines = np.matmul(embedded, embedded.transpose(0, 2, 1))[:, first, second]
        pair_weights = weights[:, first] * weights[:, second]
        same = labels[images[:, first]] == labels[images[:, second]]
        weighted = pair_weights * cosines
        sums.append(
            np.stack(
                [
                    (weighted * same).sum(1),
                    (weighted * ~same).sum(1),
                    (pair_weights * same).sum(1),
                    (pair_weights * ~same).sum(1),
                ]
            )
        )
    within, between, within_mass, between_mass = np.concatenate(sums, axis=1)
    cosine = _ratio(within + between, within_mass + between_mass)
    if (labels < 0).any():  # images without a class are of no one class
        within_mass = between_mass = np.full_like(cosine, np.nan)
    return _Space(
        cosine=cosine,
        within=_ratio(within, within_mass),
        between=_ratio(between, between_mass),
        within_share=_ratio(within_mass, within_mass + between_mass),
        baseline=_baseline(embeddings_nd, selection.images.shape[1], seed, baseline_groups),
    )


def _baseline(embeddings_nd, size, seed, groups):
    """Mean pairwise cosine of random groups of images; None without a pair, or enough images."""
    if size < 2 or len(embeddings_nd) < size:
        return None
    random = np.random.default_rng(seed)
    total = 0.0
    for _ in range(groups):
        group = random.choice(len(embeddings_nd), size, replace=False, shuffle=False)
        # Σ over pairs from the norm of the sum: ‖Σe‖² = n + 2 Σ_{u<v} cos(e_u, e_v).
        norm = np.square(embeddings_nd[group].sum(axis=0, dtype=np.float64)).sum()
        total += (norm - size) / (size * (size - 1))
    return float(total / groups)


def _ratio(numerator, denominator):
    defined = denominator > 0
    return np.where(defined, numerator / np.where(defined, denominator, 1), np.nan)


def _mean(values):
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else None
