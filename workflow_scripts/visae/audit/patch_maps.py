"""Where on its top images a feature is active: the codes that the metrics saw, patch by patch.

Paper: Appendix H. Which images are the top ones is known from the pooled codes of the reductions,
so that only the chunks of the cache which hold these images are read.
"""

from dataclasses import replace

import numpy as np
import torch

from visae.backbones.preprocessing import Preprocessing
from visae.base.errors import UserError
from visae.images.decoding import load_image

IMAGES = 4
"""Top images per feature."""


def feature_examples(features, moran_f, reductions, cache, sae, image_paths):
    """{kind: example} (see `visae.audit.examples`) for {kind: feature}.

    moran_f: each feature's mean Moran's I [F]. reductions, cache: the open `SaeReductions` and
    `ActivationCache` of one split. sae: the `SavedSae` that encoded it. image_paths: image id →
    file. An example has the `IMAGES` images of the largest pooled codes, ties by index, or as many
    as the feature is active on.

    Raises UserError when the reductions are of another SAE or cache, or an image is unreadable.
    """
    if (reductions.sae_fingerprint, reductions.cache_fingerprint) != (
        sae.fingerprint,
        cache.fingerprint,
    ):
        raise UserError(
            f"{reductions.path} was not computed by this SAE from {cache.path}: remove it and run "
            "the workflow again"
        )
    preprocessing = Preprocessing(**cache.info.preprocessing)
    examples = {}
    for kind, feature in features.items():
        numbers = reductions.largest.images[feature, :IMAGES]
        maps = patch_maps(sae.model, feature, cache, numbers)
        active = maps.any(axis=(1, 2))
        image_ids = [cache.image_ids[number] for number in numbers[active]]
        pixels = [preprocessing.pixels(load_image(image_paths[name])) for name in image_ids]
        examples[kind] = {
            "feature": feature,
            "moran": float(moran_f[feature]),
            "image_ids": image_ids,
            "maps": maps[active],
            "images": np.stack(pixels).transpose(0, 2, 3, 1),
        }
    return examples


def patch_maps(sae, feature, cache, numbers):
    """The codes of one feature on the patches of the images `numbers`: float32 [n, H, W].

    sae: the `SparseAutoencoder`; its inference rule holds, threshold included.
    """
    activations_npd = torch.from_numpy(read_images(cache, numbers))
    if sae.activation == "threshold":
        row = slice(feature, feature + 1)
        single = replace(
            sae,
            encoder_weight=sae.encoder_weight[row],
            encoder_bias=sae.encoder_bias[row],
            decoder_weight=sae.decoder_weight[row],
            threshold=sae.threshold.expand(sae.features)[row],
        )
        codes_np1 = single.encode(single.normalise(activations_npd))
    else:  # features compete with each other
        codes_np1 = sae.encode(sae.normalise(activations_npd))[..., feature]
    return codes_np1.numpy().reshape(len(numbers), *cache.info.grid)


def read_images(cache, numbers):
    """Activations [n, P, D] of the images `numbers` of a cache, in that order."""
    numbers = np.asarray(numbers)
    starts = np.array([start for start, _ in cache.chunks])
    chunks = np.searchsorted(starts, numbers, side="right") - 1
    activations = np.empty((len(numbers), cache.info.patches, cache.info.width), cache.info.dtype)
    for chunk in np.unique(chunks):
        inside = chunks == chunk
        activations[inside] = cache.read_chunk(chunk)[numbers[inside] - starts[chunk]]
    return activations
