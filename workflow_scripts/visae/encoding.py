"""One pass over an activation cache: with all SAEs of a sweep, or of the activations alone.

Everything that a pass leaves behind is a sum over images, a maximum within an image or a row
per image. Units of a fixed number of images, counted from the first image of the cache, are
computed each on its own and joined in order; so neither sharding nor chunks nor the number
of threads changes a bit of the result.

Paper: section 3 (max-pooled image features), sections 4.1 and 4.2.
"""

import collections
import contextlib
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from visae.errors import UserError
from visae.moran import dense_moran, sum_evaluable
from visae.reductions import RawUnit, write_raw_reductions, write_sae_reductions
from visae.unit_encoders import DenseEncoder, SparseEncoder

RAW_UNIT_IMAGES = 4


def encode_cache(
    cache,
    saes,
    outputs,
    *,
    sae_fingerprints,
    statistics=None,
    minimum_active=(1, 5, 20),
    variance_floor=1e-8,
    device="cpu",
    threads=1,
    attributes=None,
):
    """Write the reductions of every SAE from one pass over `cache`.

    cache: an open `ActivationCache`. saes, outputs, sae_fingerprints: by name, the
    `SparseAutoencoder`s, the paths to write and the hashes of the weights. statistics: mean [D] and
    std of the training cache, in whose units errors and reconstructions are written, as those of
    the raw activations are; without them in the SAEs' own, which are the same unless the SAEs were
    trained elsewhere. minimum_active,
    variance_floor: when a map is evaluable for Moran's I, see `visae.moran`; no minimum at all
    leaves Moran's I out. device: `cpu` or `cuda`. threads: for the CPU. attributes: provenance,
    written to every file.

    Raises UserError when an SAE does not fit the cache.
    """
    _check_saes(cache, saes)
    encoder_type = SparseEncoder if torch.device(device).type == "cpu" else DenseEncoder
    saes = {name: sae.to(device) for name, sae in saes.items()}
    normalised_by = _shared_statistics(saes)
    conversions = {name: _conversion(sae, statistics) for name, sae in saes.items()}
    encoders = {
        name: encoder_type(sae, cache.info.grid, minimum_active, variance_floor)
        for name, sae in saes.items()
    }

    def encode(activations_npd):
        activations_npd = torch.from_numpy(activations_npd).to(device)
        x_npd = {
            owner: saes[owner].normalise(activations_npd) for owner in set(normalised_by.values())
        }
        return [
            conversions[name](encoder(x_npd[normalised_by[name]]))
            for name, encoder in encoders.items()
        ]

    with contextlib.ExitStack() as stack:
        writers = []
        for name, sae in saes.items():
            identity = {"sae": name, "sae_fingerprint": sae_fingerprints[name]}
            writer = write_sae_reductions(
                outputs[name],
                cache,
                sae.features,
                minimum_active,
                variance_floor,
                {**(attributes or {}), **identity},
            )
            writers.append(stack.enter_context(writer))
        workers = threads if encoder_type is SparseEncoder else 1
        for units in _computed(encode, image_units(cache, encoder_type.unit_images), workers):
            for writer, unit in zip(writers, units, strict=True):
                writer.add(unit)


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
    of a channel. The other arguments are those of `encode_cache`.
    """
    mean = torch.as_tensor(mean, dtype=torch.float32)
    std = torch.as_tensor(std, dtype=torch.float32)
    _check_statistics("the training cache", mean, std, cache)

    def reduce(activations_npd):
        activations_npd = torch.from_numpy(activations_npd).float()
        x_npd = (activations_npd - mean) / std
        images, patches, width = x_npd.shape
        tokens_td = x_npd.flatten(0, 1).double()
        token_mean = tokens_td.mean(dim=0)
        if len(minimum_active):
            moran = dense_moran(x_npd, cache.info.grid, variance_floor)
        else:
            moran = torch.zeros(2, images, width, dtype=torch.float64)
        active = torch.full((images, width), patches)
        moran_sum, moran_images = sum_evaluable(moran, active, minimum_active)
        return RawUnit(
            features_max=x_npd.amax(dim=1).numpy(),
            embeddings=activations_npd.double().mean(dim=1).float().numpy(),
            tokens=len(tokens_td),
            token_mean=token_mean.numpy(),
            total_squares=float(((tokens_td - token_mean) ** 2).sum()),
            moran_sum=moran_sum.numpy(),
            moran_images=moran_images.numpy(),
        )

    with write_raw_reductions(
        output, cache, minimum_active, variance_floor, attributes or {}
    ) as writer:
        for unit in _computed(reduce, image_units(cache, RAW_UNIT_IMAGES), threads):
            writer.add(unit)


def _shared_statistics(saes):
    """SAE → the first one with the same statistics, so that each normalisation is done once."""
    owners = {}
    for name, sae in saes.items():
        own = sae.activation_mean, sae.activation_std
        same = (
            other
            for other in dict.fromkeys(owners.values())
            if all(map(torch.equal, own, (saes[other].activation_mean, saes[other].activation_std)))
        )
        owners[name] = next(same, name)
    return owners


def _conversion(sae, statistics):
    """A function that takes an SaeUnit from the SAE's normalised units to those of `statistics`."""
    if statistics is None:
        return lambda unit: unit
    # In float32, as SAEs carry them and `reduce_raw` uses them: equal ones change nothing at all.
    mean, std = (np.asarray(value, np.float32).astype(np.float64) for value in statistics)
    scale = float(sae.activation_std) / std
    shift = ((sae.activation_mean.double().cpu().numpy() - mean) / std).astype(np.float32)

    def converted(unit):
        return dataclasses.replace(
            unit,
            squared_error=unit.squared_error * scale**2,
            # The scale is positive, so that the maxima are those of the same patches.
            reconstructions_max=unit.reconstructions_max * np.float32(scale) + shift,
        )

    return converted


def image_units(cache, unit_images):
    """Yield the activations of a cache `unit_images` at a time, whatever its chunks: [n, P, D]."""
    rest = None
    for number in range(len(cache.chunks)):
        chunk = cache.read_chunk(number)
        rest = chunk if rest is None or not len(rest) else np.concatenate([rest, chunk])
        whole = len(rest) - len(rest) % unit_images
        for start in range(0, whole, unit_images):
            yield rest[start : start + unit_images]
        rest = rest[whole:]
    if rest is not None and len(rest):
        yield rest


def _computed(function, items, threads):
    """Yield function(item) in order, computed in `threads` threads of one BLAS thread each."""
    torch_threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    waiting = collections.deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch_threads)


def _check_saes(cache, saes):
    for name, sae in saes.items():
        if sae.width != cache.info.width:
            raise UserError(
                f"SAE {name} takes activations of width {sae.width}, but {cache.path} holds "
                f"activations of width {cache.info.width}: train the SAE on this backbone"
            )
        _check_statistics(f"SAE {name}", sae.activation_mean, sae.activation_std, cache)


def _check_statistics(owner, mean, std, cache):
    """UserError unless the statistics can normalise the activations of `cache`."""
    if mean.shape != (cache.info.width,) or not mean.isfinite().all() or not 0 < std < torch.inf:
        raise UserError(
            f"the activation statistics of {owner} (mean of shape {list(mean.shape)}, std "
            f"{float(std)}) cannot normalise the activations of width {cache.info.width} in "
            f"{cache.path}: train on, or extract, this backbone's activations again"
        )
    if cache.mean is None:
        return
    same_mean = np.allclose(mean.numpy(), cache.mean, rtol=1e-5, atol=1e-5 * cache.std)
    if not (same_mean and np.isclose(float(std), cache.std, rtol=1e-5)):
        raise UserError(
            f"the activation statistics of {owner} are not those of the training cache "
            f"{cache.path}: the SAE was trained on other activations, train it again"
        )
