"""The order of patches in the control arm, without torch: readers of caches need it."""

import hashlib

import numpy as np


def patch_order(patches, image_id, seed):
    """The raster positions of an image's patches in permuted order: int64 [P].

    It depends on `seed` and the image's id only, not on batch or shard.
    """
    return generator_of(image_id, seed).permutation(patches)


def generator_of(image_id, seed):
    """The random generator of one image."""
    entropy = int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:16])
    return np.random.default_rng([seed, entropy])
