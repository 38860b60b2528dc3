"""Example features of an SAE, chosen by rule, with the images on which their code is largest."""

from typing import NamedTuple

import numpy as np

from visae.audit.choice import audit_features
from visae.encoding.reductions import SaeReductions
from visae.evals.results import read_arrays

IMAGES = 4
"""Top images per feature."""

METRICS = {"localization": ("M1", "moran"), "monosemanticity": ("M5", "monosemanticity")}
"""Metric by whose values features are chosen → its short name, the array that holds them."""


class Example(NamedTuple):
    """One feature: why it was chosen, its value, and (image id, code) of its top images."""

    feature: int
    metric: str
    kind: str
    value: float
    images: list


def example_features(score_paths, reductions_path):
    """The example features of one SAE, two per metric of `score_paths`.

    The rule is that of Figure 5: the feature nearest to the mean over features and the one
    nearest to the middle of the top 5 %. score_paths: metric → its score, whose arrays lie beside.
    """
    chosen = [feature for metric, path in score_paths.items() for feature in _chosen(metric, path)]
    with SaeReductions(reductions_path) as reductions:
        return [Example(*feature, _top_images(reductions, feature[0])) for feature in chosen]


def _chosen(metric, path):
    """[(feature, metric, kind, value), …] by one metric's values per feature."""
    short, array = METRICS[metric]
    arrays = read_arrays(path)
    values = arrays[array]
    # M5 scores some features only, and says which.
    features = arrays.get("features", np.arange(len(values)))
    return [
        (int(features[row]), short, kind, float(values[row]))
        for kind, row in audit_features(values).items()
    ]


def _top_images(reductions, feature):
    """[(image id, code), …], the largest code first, at most `IMAGES`, active ones only."""
    largest = reductions.largest
    codes, images = largest.codes[feature, :IMAGES], largest.images[feature, :IMAGES]
    return [
        (reductions.image_ids[image], float(code))
        for code, image in zip(codes, images, strict=True)
        if code > 0
    ]
