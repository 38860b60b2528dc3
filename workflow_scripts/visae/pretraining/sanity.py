"""What a pretrained backbone is worth: a linear probe and the rank of its image features.

Every number stands beside that of the same backbone before training, with random weights, which
is a strong baseline on small images.
"""

from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import torch

from visae.probing.multinomial import fit_probe

BATCH = 256
PROBE_IMAGES = 10
"""Training images per class on which the probe is fitted."""


class Assessment(NamedTuple):
    """What the features of one backbone are worth.

    correct_n: which evaluation images the probe classifies right, bool [N]. effective_rank: of
    their features.
    """

    correct_n: np.ndarray
    effective_rank: float

    def numbers(self):
        """A JSON-able dictionary."""
        return {
            "probe_accuracy": float(self.correct_n.mean()),
            "effective_rank": self.effective_rank,
        }


def assess(backbone, training, evaluation):
    """The `Assessment` of a backbone by a training and an evaluation split (`DecodedSplit`s)."""
    fitting = first_of_each_class(training, PROBE_IMAGES)
    fitted_md, read_nd = (pooled_features(backbone, split) for split in (fitting, evaluation))
    fitted_labels, read_labels = (split.labels_n.cpu().numpy() for split in (fitting, evaluation))
    correct_n = probe_hits(fitted_md, fitted_labels, read_nd, read_labels)
    return Assessment(correct_n, effective_rank(read_nd))


def first_of_each_class(split, count):
    """The first `count` images of every class of a `DecodedSplit`."""
    labels = split.labels_n.cpu().numpy()
    chosen = np.concatenate([np.flatnonzero(labels == c)[:count] for c in np.unique(labels)])
    return split._replace(pixels_n3hw=split.pixels_n3hw[chosen], labels_n=split.labels_n[chosen])


def pooled_features(backbone, split):
    """Maximum over the patch tokens of the last block, as M3, M4 and M6 pool: float32 [N, D]."""
    layer, device = backbone.depth - 1, next(backbone.parameters()).device
    pooled = [
        backbone.patch_tokens(backbone.normalise(pixels.to(device)), layer).amax(dim=1).cpu()
        for pixels in split.pixels_n3hw.split(BATCH)
    ]
    return torch.cat(pooled).numpy()


def probe_hits(fitted_md, fitted_labels, read_nd, read_labels):
    """Which of the images read_nd a linear probe fitted on the others classifies right: bool [N].

    Features are standardised by those of the fitted images.
    """
    mean, deviation = fitted_md.mean(axis=0), fitted_md.std(axis=0) + 1e-6
    probe = fit_probe((fitted_md - mean) / deviation, fitted_labels)
    return probe.predict((read_nd - mean) / deviation) == read_labels


def effective_rank(features_nd):
    """exp of the entropy of the normalised singular values (Roy & Vetterli 2007), 1 … D.

    Of the centred features: 1 if all images lie on a line, near 1 after a collapse.
    """
    values = np.linalg.svd(features_nd - features_nd.mean(axis=0), compute_uv=False)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def report(spec, settings, training, evaluation, random, pretrained, log, seconds):
    """`sanity.json`: what was done, what it brought, whether the loss fell and features collapsed.

    random, pretrained: `Assessment`s before and after. The gain is that of the probe's accuracy,
    with the standard error of a difference on the same images. Losses are means over the first
    and the last window of the log, of the backbone itself and not of a teacher.
    """
    losses = [record["loss"] for record in log if record["phase"] == "pretraining"]
    gains_n = pretrained.correct_n.astype(float) - random.correct_n
    return {
        "backbone": spec.name,
        "seed": spec.seed,
        **asdict(settings),
        "training_images": len(training.labels_n),
        "evaluation_images": len(evaluation.labels_n),
        "classes": len(evaluation.classes),
        "random": random.numbers(),
        "pretrained": pretrained.numbers(),
        "gain": float(gains_n.mean()),
        "gain_standard_error": float(gains_n.std(ddof=1) / len(gains_n) ** 0.5),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "seconds": round(seconds, 1),
    }
