"""Activation caches and SAEs to measure on: noise, or sparse sums of a known dictionary."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from visae.activations.format import CacheInfo
from visae.activations.shards import ShardWriter, join_shards
from visae.sae.model import SparseAutoencoder

FLOOR_IMAGES = 16
"""Images per product of the floor."""


def write_cache(path, batch, side, width, statistics=False):
    """Write a cache of one shard. batch: (image number → activations [1, P, D], labels [n])."""
    tokens, labels = batch
    info = CacheInfo(
        backbone="synthetic", model="synthetic", weights_fingerprint="", layer=0,
        dataset="synthetic", split=path.stem, grid=(side, side), width=width,
        token_order="raster", preprocessing={}, index_fingerprint="",
    )  # fmt: skip
    shard = path.with_name(f"{path.stem}-shard.h5")
    with ShardWriter(shard, info, 0, 1, len(labels)) as writer:
        for image, label in enumerate(labels):
            writer.append(tokens(image), [label], [f"{image:06d}"])
    join_shards([shard], path, statistics=statistics)


def noise(images, side, width):
    """A batch of Gaussian activations: codes spread over all features and patches."""
    generator = np.random.default_rng(0)
    return lambda image: generator.normal(size=(1, side * side, width)), np.zeros(images, int)


class PlantedImages:
    """Images of C classes whose tokens are sums of about 60 of F known directions.

    Each image has ACTIVE directions, each on a disc of patches. Those that a class prefers are
    more frequent in its images, so that probes have something to find, and not all of it.
    """

    ACTIVE, PREFERRED, RADIUS = 350, 60, 3.0

    def __init__(self, features, width, side, classes, seed=0):
        self._random = np.random.default_rng(seed)
        atoms = self._random.standard_normal((features, width), dtype=np.float32)
        self.atoms_fd = atoms / np.linalg.norm(atoms, axis=1, keepdims=True)
        self._preferred = self._random.integers(0, features, (classes, self.PREFERRED))
        self._place = np.stack(np.divmod(np.arange(side * side), side)).astype(np.float32)
        self._side, self._classes = side, classes

    def batch(self, images):
        """A batch with as many images of each class."""
        labels = np.arange(images) % self._classes
        return lambda image: self._tokens(labels[image])[None], labels

    def _tokens(self, label):
        preferred = self._preferred[label]
        chosen = np.union1d(
            preferred[self._random.random(len(preferred)) < 0.4],
            self._random.integers(0, len(self.atoms_fd), self.ACTIVE),
        )
        centre = self._random.uniform(0, self._side, (2, len(chosen), 1))
        squared = ((self._place[:, None] - centre) ** 2).sum(axis=0)
        strength = self._random.gamma(4.0, 0.25, (len(chosen), 1))
        maps_ap = (strength * (squared < self.RADIUS**2)).astype(np.float32)
        return maps_ap.T @ self.atoms_fd[chosen]


def tied_sae(atoms_fd, l0, sample_td, mean=None, std=1.0):
    """An SAE with these directions both ways and the threshold that gives `l0` on the sample."""
    directions = torch.as_tensor(atoms_fd)
    features, width = directions.shape
    mean = torch.zeros(width) if mean is None else torch.as_tensor(mean, dtype=torch.float32)
    std = torch.tensor(float(std))
    codes = ((torch.as_tensor(sample_td).float() - mean) / std) @ directions.T
    threshold = np.quantile(codes.numpy(), 1 - l0 / features)
    return SparseAutoencoder(
        encoder_weight=directions,
        encoder_bias=torch.zeros(features),
        decoder_weight=directions.clone(),
        threshold=torch.tensor(threshold, dtype=torch.float32),
        activation_mean=mean,
        activation_std=std,
    )


def floor_product(sae, tokens_per_image, images, threads):
    """A function that computes the encoder product of so many images, and nothing else.

    Like the pass in `threads` threads of one BLAS thread each, which on a busy machine is
    faster than BLAS's own threads, since these wait for each other.
    """
    tokens = torch.randn(FLOOR_IMAGES * tokens_per_image, sae.width)
    outs = [torch.empty(len(tokens), sae.features) for _ in range(threads)]
    products = range(images // FLOOR_IMAGES)

    def multiply(thread):
        torch.set_num_threads(1)
        for _ in products[thread::threads]:
            torch.mm(tokens, sae.encoder_weight.T, out=outs[thread])

    def multiply_all():
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(multiply, range(threads)))

    return multiply_all


def read_everything(cache):
    """Read and check all chunks of an open cache."""
    for number in range(len(cache.chunks)):
        cache.read_chunk(number)
