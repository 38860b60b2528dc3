"""One pass over an activation cache for the activations themselves, without torch.

Everything that a pass leaves behind is computed in units of images (see `encoding.units`). Paper:
section 3 (max-pooled image features), section 4.1 and Table 4 (Moran's I of raw channels).
"""

import numpy as np

from visae.encoding.kernels import moran_of_channels
from visae.encoding.moran import Neighbours
from visae.encoding.reductions import RawUnit, write_raw_reductions
from visae.encoding.units import check_statistics, computed, image_units

UNIT_IMAGES = 4


def reduce_raw(
    cache,
    mean,
    std,
    output,
    *,
    minimum_active=(1, 5, 20),
    variance_floor=1e-8,
    threads=1,
    attributes=None,
):
    """Write the reductions of the activations themselves.

    mean [D], std: the training cache's statistics. All patches count as active for Moran's I
    of a channel. The other arguments are those of `visae.encoding.sae_pass.encode_cache`.
    """
    mean, std = np.asarray(mean, np.float32), np.float32(std)
    check_statistics("the training cache", mean, float(std), cache)
    neighbours = Neighbours.of_grid(cache.info.grid)
    minima = np.array(minimum_active, np.int64)

    def reduce(activations_npd):
        x_npd = (activations_npd.astype(np.float32) - mean) / std
        width = x_npd.shape[2]
        tokens_td = x_npd.reshape(-1, width).astype(np.float64)
        token_mean = tokens_td.mean(axis=0)
        moran_sum = np.zeros((2, len(minima), width))
        moran_images = np.zeros((len(minima), width), np.int64)
        if len(minima):
            moran_of_channels(
                x_npd,
                minima,
                moran_sum,
                moran_images,
                neighbours.padded_map(),
                neighbours,
                variance_floor,
            )
        return RawUnit(
            features_max=x_npd.max(axis=1),
            embeddings=activations_npd.mean(axis=1, dtype=np.float64).astype(np.float32),
            tokens=len(tokens_td),
            token_mean=token_mean,
            total_squares=float(((tokens_td - token_mean) ** 2).sum()),
            moran_sum=moran_sum,
            moran_images=moran_images,
        )

    with write_raw_reductions(
        output, cache, minimum_active, variance_floor, attributes or {}
    ) as writer:
        for unit in computed(reduce, image_units(cache, UNIT_IMAGES), threads):
            writer.add(unit)
