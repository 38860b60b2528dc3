"""Example features of an SAE, chosen by rule, with the images on which their code is largest."""

from typing import NamedTuple

from visae.audit.choice import audit_features
from visae.audit.metrics import METRICS
from visae.audit.values import values_of_features
from visae.encoding.reductions import SaeReductions

IMAGES = 4
"""Top images per feature."""


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
    with SaeReductions(reductions_path) as reductions:
        return [
            Example(feature, METRICS[metric][0], kind, float(values[feature]), images)
            for metric, path in score_paths.items()
            for values in [values_of_features(metric, path, reductions.features)]
            for kind, feature in audit_features(values).items()
            for images in [_top_images(reductions, feature)]
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
