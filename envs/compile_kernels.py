"""Compile every kernel once, by a miniature of a miniature, so that no job of a study has to.

    PYTHONPATH=workflow_scripts python envs/compile_kernels.py

numba keeps what it compiles beside the modules (or in the user's cache, where it may not write
there), for this machine's processor.
"""

import logging
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from visae.activations.cache import ActivationCache
from visae.activations.format import CacheInfo
from visae.activations.shards import ShardWriter, join_shards
from visae.encoding.encoders import SparseEncoder
from visae.encoding.raw_pass import reduce_raw
from visae.encoding.reductions import SaeReductions
from visae.encoding.sae_pass import encode_activations
from visae.evals.sparse_codes import inner_products, read_codes
from visae.probing.one_vs_rest import BinaryTask, nested_probes
from visae.probing.rankings import rank_features
from visae.sae import screened
from visae.sae.checkpoint import load_sae
from visae.sae.model import SparseAutoencoder
from visae.sae.screen import Features, Tokens
from visae.sae.screen_bytes import BYTES
from visae.sae.screened import WIDTH_UNIT
from visae.sae.sparse import screened_codes
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.training import train_and_save

IMAGES, GRID, WIDTH = 20, (4, 4), 8


def write_cache(folder):
    """A joined training cache of random activations."""
    info = CacheInfo(
        backbone="random",
        model="random",
        weights_fingerprint="random",
        layer=0,
        dataset="random",
        split="train",
        grid=GRID,
        width=WIDTH,
        token_order="raster",
        preprocessing={},
        index_fingerprint="random",
        chunk_images=IMAGES,
    )
    shape = IMAGES, GRID[0] * GRID[1], WIDTH
    activations_npd = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    with ShardWriter(folder / "shard.h5", info, 0, 1, IMAGES) as writer:
        ids = [f"image-{number:02d}" for number in range(IMAGES)]
        writer.append(activations_npd, np.arange(IMAGES) % 2, ids)
    join_shards([folder / "shard.h5"], folder / "cache.h5", statistics=True)
    return folder / "cache.h5"


def compile_kernels(folder):
    """Train, encode, rank, probe and compare in `folder`."""
    specs = [
        SaeSpec.from_text(name)
        for name in ("batchtopk_2x_k4", "jumprelu_2x_l0_4", "matryoshka_2x_k4")
    ]
    settings = TrainingSettings(batch_size=64)
    with ActivationCache(write_cache(folder)) as cache:
        train_and_save(specs, cache, cache, folder, settings, torch.device("cpu"))
        saes = {spec.name: load_sae(folder / spec.name) for spec in specs}
        outputs = {name: folder / f"{name}.h5" for name in saes}
        encode_activations(
            cache,
            {name: sae.model for name, sae in saes.items()},
            outputs,
            sae_fingerprints={name: sae.fingerprint for name, sae in saes.items()},
        )
        reduce_raw(cache, cache.mean, cache.std, folder / "raw.h5")
    with SaeReductions(outputs[specs[0].name]) as encoded:
        rank_features(encoded.codes, encoded.labels, np.ones(IMAGES, bool), [])
        codes, some = read_codes(encoded.codes), encoded.codes[:2]
        list(nested_probes([BinaryTask(some, encoded.labels == 0, some)], [1]))
    compile_screen()
    none = codes[:, :1] * 0
    none.eliminate_zeros()  # few active codes are visited one by one, many multiplied densely
    inner_products(none, codes)


def compile_screen():
    """The screened product, which only large encoders use, by both its ways."""
    atoms = torch.randn(GRID[0] * GRID[1], WIDTH_UNIT, generator=torch.Generator().manual_seed(0))
    bias = torch.zeros(len(atoms))
    tokens, features = Tokens(BYTES, atoms), Features.of_positive(BYTES, atoms, bias)
    for crowded in (0, 1):
        with mock.patch.object(screened, "CROWDED", crowded):
            screened_codes(tokens, features).largest(1)
    sae = SparseAutoencoder(atoms, bias, atoms, torch.ones(()), atoms[0], torch.ones(()))
    with mock.patch.object(screened, "SCREENED_WEIGHTS", 0):
        SparseEncoder(sae, GRID, (1,), 1e-8)(atoms[None])


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # such an SAE has learned nothing, and says so
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        compile_kernels(Path(temporary))
