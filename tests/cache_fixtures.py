"""Small caches made of planted activations, for tests that need no backbone."""

import numpy as np

from visae.activations.format import CacheInfo
from visae.activations.shards import ShardWriter, join_shards, shard_bounds


def cache_info(**changes):
    """A CacheInfo with small defaults."""
    values = {
        "backbone": "toy",
        "model": "toy-vit",
        "weights_fingerprint": "0" * 16,
        "layer": 3,
        "dataset": "photographs",
        "split": "train",
        "grid": (3, 4),
        "width": 5,
        "token_order": "raster",
        "preprocessing": {"size": 64},
        "index_fingerprint": "1" * 16,
        "chunk_images": 4,
    }
    return CacheInfo(**(values | changes))


def write_cache(
    folder, activations_npd, shards=1, labels=None, batch=3, statistics=True, kept=True, **changes
):
    """Write activations [N, P, D] as a joined cache below `folder`; returns the joined path.

    kept: whether shards hold the activations.
    """
    images, _, width = activations_npd.shape
    info = cache_info(width=width, **changes)
    labels = np.zeros(images, int) if labels is None else np.asarray(labels)
    paths, measured = (
        [folder / info.split / f"{kind}-{n:05d}-of-{shards:05d}.h5" for n in range(shards)]
        for kind in ("shard", "measured")
    )
    written = paths if kept else measured
    for number, (start, stop) in enumerate(shard_bounds(images, shards, info.chunk_images)):
        with ShardWriter(written[number], info, number, shards, stop - start, kept=kept) as writer:
            for first in range(start, stop, batch):
                rows = slice(first, min(first + batch, stop))
                ids = [f"image-{row:06d}" for row in range(rows.start, rows.stop)]
                writer.append(activations_npd[rows], labels[rows], ids)
    joined = folder / f"{info.split}.h5"
    join_shards(paths, joined, statistics=statistics, measured=None if kept else measured)
    return joined


def random_activations(images=22, patches=12, width=5, seed=0):
    """Activations [N, P, D] with a mean and a scale per dimension."""
    generator = np.random.default_rng(seed)
    scale = np.linspace(0.5, 2, width)
    return (generator.normal(size=(images, patches, width)) * scale + 3 * scale).astype(np.float16)
