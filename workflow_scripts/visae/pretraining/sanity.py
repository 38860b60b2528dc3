"""What a pretrained backbone is worth: a linear probe and the rank of its image features.

Every number stands beside that of the same backbone before training, with random weights, which
is a strong baseline on small images.
"""

import numpy as np
import torch

from visae.probes import fit_probe
from visae.splits import stratified_split

BATCH = 256


def pooled_features(backbone, split):
    """Patch tokens of the last block, pooled per image: {`mean`, `max`: float32 [N, D]}."""
    pooled = {"mean": [], "max": []}
    for pixels in split.pixels_n3ss.split(BATCH):
        tokens_npd = backbone.patch_tokens(backbone.normalise(pixels), backbone.depth - 1)
        pooled["mean"].append(tokens_npd.mean(dim=1).cpu())
        pooled["max"].append(tokens_npd.amax(dim=1).cpu())
    return {name: torch.cat(parts).numpy() for name, parts in pooled.items()}


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
    features, labels = pooled_features(backbone, split), split.labels_n.cpu().numpy()
    return {
        "probe_accuracy": {
            pooling: probe_accuracy(values, labels, seed) for pooling, values in features.items()
        },
        "effective_rank": effective_rank(features["mean"]),
    }
