"""What a pretrained backbone is worth: a linear probe and the rank of its image features.

Every number stands beside that of the same backbone before training, with random weights, which
is a strong baseline on small images.
"""

from dataclasses import asdict

import numpy as np
import torch

from visae.probes import fit_probe
from visae.splits import stratified_split

BATCH = 256


def pooled_features(backbone, split):
    """Maximum over the patch tokens of the last block, as M3, M4 and M6 pool: float32 [N, D]."""
    layer, device = backbone.depth - 1, next(backbone.parameters()).device
    pooled = [
        backbone.patch_tokens(backbone.normalise(pixels.to(device)), layer).amax(dim=1).cpu()
        for pixels in split.pixels_n3ss.split(BATCH)
    ]
    return torch.cat(pooled).numpy()


def probe_accuracy(features_nd, labels, seed):
    """Accuracy of linear probes that are fitted on one half of the images and read on the other.

    Two probes, so that every image is held out once; halves stratified by class; features
    standardised by the fitting half.
    """
    second = stratified_split(labels, test_fraction=0.5, seed=seed)
    hits = 0.0
    for held_out in (second, ~second):
        mean, deviation = features_nd[~held_out].mean(0), features_nd[~held_out].std(0) + 1e-6
        standardised = (features_nd - mean) / deviation
        probe = fit_probe(standardised[~held_out], labels[~held_out])
        hits += probe.accuracy(standardised[held_out], labels[held_out]) * held_out.sum()
    return float(hits / len(labels))


def effective_rank(features_nd):
    """exp of the entropy of the normalised singular values (Roy & Vetterli 2007), 1 … D.

    Of the centred features: 1 if all images lie on a line, near 1 after a collapse.
    """
    values = np.linalg.svd(features_nd - features_nd.mean(axis=0), compute_uv=False)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def assess(backbone, split, seed):
    """The numbers of one backbone on the evaluation split: a JSON-able dictionary."""
    features_nd = pooled_features(backbone, split)
    return {
        "probe_accuracy": probe_accuracy(features_nd, split.labels_n.cpu().numpy(), seed),
        "effective_rank": effective_rank(features_nd),
    }


def report(spec, settings, training, evaluation, random, pretrained, log, seconds):
    """`sanity.json`: what was done, what it brought, whether the loss fell and features collapsed.

    random, pretrained: from `assess`, before and after. Losses are means over the first and the
    last window of the log, of the backbone itself and not of a teacher.
    """
    losses = [record["loss"] for record in log if record["phase"] == "pretraining"]
    return {
        "backbone": spec.name,
        "seed": spec.seed,
        **asdict(settings),
        "training_images": len(training.labels_n),
        "evaluation_images": len(evaluation.labels_n),
        "classes": len(evaluation.classes),
        "random": random,
        "pretrained": pretrained,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "seconds": round(seconds, 1),
    }
