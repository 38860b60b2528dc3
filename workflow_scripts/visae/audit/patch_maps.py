"""Where on its images a feature is active: the codes that the metrics saw, patch by patch.

Paper: Appendix H. Which images these are is known from the pooled codes of the reductions, so that
only the chunks of the cache which hold them are read, each once for all features.
"""

from dataclasses import replace

import numpy as np
import torch

from visae.backbones.backbone import patches_in_order
from visae.backbones.preprocessing import Preprocessing
from visae.base.errors import UserError
from visae.base.progress import counted
from visae.images.decoding import load_image

IMAGES = 4
"""Top images per feature of Figure 5."""


def feature_examples(features, moran_f, reductions, cache, sae, image_paths):
    """{kind: example} (see `visae.audit.examples`) for {kind: feature}.

    moran_f: each feature's mean Moran's I [F]. reductions, cache: the open `SaeReductions` and
    `Cache` of one split. sae: the `SavedSae` that encoded it. image_paths: image id →
    file. An example has the `IMAGES` images of the largest pooled codes, ties by index, or as many
    as the feature is active on.

    Raises UserError when the reductions are of another SAE or cache, or an image is unreadable.
    """
    check_same(reductions, cache, sae)
    preprocessing = Preprocessing(**cache.info.preprocessing).in_bytes()
    images = {f: reductions.largest.images[f, :IMAGES] for f in features.values()}
    maps = patch_maps(sae.model, images, cache)
    examples = {}
    for kind, feature in features.items():
        active = maps[feature].any(axis=(1, 2))
        image_ids = [cache.image_ids[number] for number in images[feature][active]]
        pixels = [preprocessing.pixels(load_image(image_paths[name])) for name in image_ids]
        examples[kind] = {
            "feature": feature,
            "moran": float(moran_f[feature]),
            "image_ids": image_ids,
            "maps": maps[feature][active],
            "images": np.stack(pixels).transpose(0, 2, 3, 1),
        }
    return examples


def check_same(reductions, cache, sae):
    """UserError unless the reductions are what this `SavedSae` made of the cache."""
    if (reductions.sae_fingerprint, reductions.cache_fingerprint) != (
        sae.fingerprint,
        cache.fingerprint,
    ):
        raise UserError(
            f"{reductions.path} was not computed by this SAE from {cache.path}: remove it and run "
            "the workflow again"
        )


def patch_maps(sae, images, cache):
    """The codes of features on patches: {feature: float32 [n, H, W]} for {feature: n images}.

    sae: the `SparseAutoencoder`; its inference rule holds, threshold included. images: numbers of
    images of the cache. Maps are in the cache's token order (`in_raster_order`). Memory grows with
    what is asked for and with one chunk, not with the number of images in the cache.
    """
    maps = {f: np.empty((len(n), cache.info.patches), np.float32) for f, n in images.items()}
    wanted = {}
    for feature, numbers in images.items():
        for row, number in enumerate(numbers):
            wanted.setdefault(int(number), []).append((feature, row))
    for number, activations_pd in read_images(cache, wanted):
        features = list(dict.fromkeys(feature for feature, _ in wanted[number]))
        codes_pf = codes_of(sae, torch.from_numpy(activations_pd), features).numpy()
        column = {feature: place for place, feature in enumerate(features)}
        for feature, row in wanted[number]:
            maps[feature][row] = codes_pf[:, column[feature]]
    return {f: of_feature.reshape(-1, *cache.info.grid) for f, of_feature in maps.items()}


def codes_of(sae, activations_pd, features):
    """Codes float32 [P, n] of the n `features` for activations [P, D], as all of them would be."""
    x_pd = sae.normalise(activations_pd)
    if sae.activation != "threshold":  # features compete with each other
        return sae.encode(x_pd)[:, features]
    few = replace(
        sae,
        encoder_weight=sae.encoder_weight[features],
        encoder_bias=sae.encoder_bias[features],
        decoder_weight=sae.decoder_weight[features],
        threshold=sae.threshold.expand(sae.features)[features],
    )
    return few.encode(x_pd)


def read_images(cache, numbers):
    """Yield (number, activations [P, D] as stored) of some images, by number.

    Each chunk is read once, and no other chunk than those that hold them.
    """
    numbers = np.unique(np.fromiter(numbers, np.int64))
    starts = np.array([start for start, _ in cache.chunks])
    chunks = np.searchsorted(starts, numbers, side="right") - 1
    needed = np.unique(chunks)
    for chunk in counted(needed, "chunks with chosen images read", len(needed)):
        activations_npd = cache.read_chunk(chunk)
        for number in numbers[chunks == chunk]:
            yield int(number), activations_npd[number - starts[chunk]]


def in_raster_order(maps_nhw, image_ids, info, seed):
    """Maps [n, H, W] in a cache's token order, with each code where its patch lies in the image.

    image_ids: of the n images. info: the `CacheInfo`. seed: of the backbone, which drew the orders.
    """
    if info.token_order == "raster":
        return maps_nhw
    flat = maps_nhw.reshape(len(maps_nhw), -1)
    placed = np.empty_like(flat)
    for codes, place, image_id in zip(flat, placed, image_ids, strict=True):
        place[patches_in_order(info.token_order, info.patches, image_id, seed)] = codes
    return placed.reshape(maps_nhw.shape)
