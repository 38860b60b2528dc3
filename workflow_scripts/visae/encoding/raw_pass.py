"""One pass over the activations of a split for what they are themselves, without torch.

Computed in units of images, as in `visae.encoding.sae_pass`. Paper: section 3 (max-pooled image
features), section 4.1 and Table 4 (Moran's I of raw channels).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visae.activations.normalisation import check_statistics, normalise
from visae.activations.source import Activations
from visae.base.arrays import Float
from visae.base.pools import Threads
from visae.base.progress import counted
from visae.base.scratch import scratch
from visae.encoding.kernels import moran_of_channels
from visae.encoding.moran import Neighbours
from visae.encoding.reductions import RawUnit, write_raw_reductions

UNIT_IMAGES = 4


def reduce_raw(
    activations: Activations,
    mean: Float[np.ndarray, " D"],
    std: float,
    output: str | Path,
    *,
    minimum_active: Sequence[int] = (1, 5, 20),
    variance_floor: float = 1e-8,
    threads: int = 1,
    attributes: Mapping[str, Any] | None = None,
    inputs: Sequence[str | Path] = (),
) -> None:
    """Write the reductions of the activations themselves.

    mean [D], std: what normalises the study's activations. All patches count as active for Moran's
    I of a channel. inputs: the files that these are from. The other arguments are those of
    `visae.encoding.sae_pass.encode_activations`.
    """
    mean, single_std = np.asarray(mean, np.float32), np.float32(std)
    check_statistics("the study", mean, float(single_std), activations)
    neighbours = Neighbours.of_grid(activations.info.grid)
    minima = np.array(minimum_active, np.int64)

    def reduce(activations_npd):
        x_npd = normalise(activations_npd, mean, single_std)
        images, patches, width = x_npd.shape
        tokens_td = scratch("tokens of raw units", np.float64, images * patches, width)
        tokens_td[:] = x_npd.reshape(-1, width)
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
        tokens_td -= token_mean
        return RawUnit(
            features_max=x_npd.max(axis=1),
            embeddings=activations_npd.mean(axis=1, dtype=np.float64).astype(np.float32),
            tokens=len(tokens_td),
            token_mean=token_mean,
            total_squares=float(np.square(tokens_td, out=tokens_td).sum()),
            moran_sum=moran_sum,
            moran_images=moran_images,
        )

    writer_of = write_raw_reductions(
        output, activations, minimum_active, variance_floor, attributes or {}, inputs
    )
    images = activations.image_units(UNIT_IMAGES)
    images = counted(images, "images reduced", activations.images, size=len)
    units = ((unit,) for unit in images)
    with writer_of as writer, Threads(threads) as pool:
        for unit in pool.map(reduce, units):
            writer.add(unit)
