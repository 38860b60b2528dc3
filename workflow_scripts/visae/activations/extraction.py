"""Extraction: images → patch tokens of some blocks, in one pass → shards of activation caches.

Workers read, resize and crop ahead of the network, in order and a bounded number of batches at a
time: threads where it runs on the CPU, processes beside a GPU. They hand over pixels (bytes, but
where a preprocessing does not round), which the network's own device normalises. Batches start at
the start of a shard, so that the same shard always holds the same bytes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import threadpoolctl
import torch
from torch.utils.data import DataLoader, Dataset

from visae.activations.format import CacheInfo
from visae.activations.shards import ShardWriter, shard_bounds
from visae.backbones.backbone import Backbone, autocast, forward_noise, permute_patches
from visae.base.arrays import Float, Num
from visae.base.declared import all_finite
from visae.base.errors import UserError
from visae.base.pools import Threads
from visae.base.progress import counted
from visae.images.decoding import load_image
from visae.images.index import ImageIndex, ImageRecord

PREFETCHED_BATCHES = 2  # per worker process


@dataclass(frozen=True)
class ShardJob:
    """One shard of the images, to be written for each block that is wanted.

    index: the split's `ImageIndex`; its fingerprint and order are the cache's. root: the data
    set's folder, below which the image paths lie. shard: number of `shards`, from 0. outputs:
    block → file. inputs: the files that the index was read from. measured: the blocks whose
    activations are not kept.
    """

    dataset: str
    split: str
    index: ImageIndex
    root: str | Path
    shard: int
    shards: int
    outputs: Mapping[int, str | Path]
    inputs: tuple[str | Path, ...] = ()
    measured: Collection[int] = ()


def extract(
    backbone: Backbone,
    jobs: Sequence[ShardJob],
    chunk_images: int = 64,
    batch_size: int = 64,
    workers: int = 0,
    on_bad_image: str = "fail",
    precision: str = "float32",
) -> None:
    """Write the shards of `jobs` with one built (and checked, see `check_backbone`) backbone.

    The backbone stays on its device. chunk_images: images per chunk of the cache. workers:
    threads or processes that decode; with 0 the images are decoded between forward passes.
    on_bad_image: `fail`, or `skip` to leave unreadable images out and record their ids. precision:
    `float32`, or `float16` for autocast on CUDA.

    Raises:
        UserError: an unreadable image (with `fail`), a layer that the backbone does not have,
            activations that are not finite, more shards than chunks.
    """
    for job in jobs:
        _extract_shard(backbone, job, chunk_images, batch_size, workers, on_bad_image, precision)


def cache_info(
    backbone: Backbone, layer: int, dataset: str, split: str, index: ImageIndex, chunk_images: int
) -> CacheInfo:
    """The CacheInfo of a split's activations by a built backbone."""
    return CacheInfo(
        backbone=backbone.spec.name,
        model=backbone.spec.model,
        weights_fingerprint=backbone.weights_fingerprint,
        layer=layer,
        dataset=dataset,
        split=split,
        grid=backbone.grid,
        width=backbone.width,
        token_order=backbone.spec.token_order,
        preprocessing=backbone.preprocessing,
        index_fingerprint=index.fingerprint(),
        chunk_images=chunk_images,
        weights_reading=backbone.weights_reading,
        storage=backbone.spec.storage,
    )


def token_batches(
    backbone: Backbone,
    layers: Collection[int],
    records: Sequence[ImageRecord],
    root: str | Path,
    batch_size: int,
    workers: int,
    on_bad_image: str,
    precision: str,
) -> Generator[
    tuple[list[ImageRecord], dict[int, Float[np.ndarray, "n P D"]], list[str]], None, None
]:
    """Yield (records, {block: patch tokens [n, P, D]}, ids of unreadable images) batch by batch.

    Each image passes through the network once, up to the last of the blocks `layers`.
    Tokens are rounded as the backbone's caches store them, but where one is beyond that storage,
    which `as_stored` then refuses.
    Raises UserError for an unreadable image, unless on_bad_image is `skip`.
    """
    batches = [records[first : first + batch_size] for first in range(0, len(records), batch_size)]
    on_cpu = next(backbone.parameters()).device.type == "cpu"
    pixels_of = _DecodedBatches(batches, root, backbone.transform)
    decoded = _by_threads(pixels_of, workers) if on_cpu else _by_processes(pixels_of, workers)
    with contextlib.closing(decoded):
        pairs = zip(batches, decoded, strict=True)
        for batch, (pixels, failures) in counted(
            pairs, "images extracted", len(records), size=lambda pair: len(pair[0])
        ):
            if failures and on_bad_image == "fail":
                raise UserError(next(iter(failures.values())))
            kept = [record for record in batch if record.image_id not in failures]
            if kept:
                tokens = tokens_of(backbone, pixels, kept, layers, precision)
            else:
                none_npd = np.empty((0, math.prod(backbone.grid), backbone.width), np.float32)
                tokens = dict.fromkeys(layers, none_npd)
            yield kept, tokens, list(failures)


def _extract_shard(backbone, job, chunk_images, batch_size, workers, on_bad_image, precision):
    start, stop = shard_bounds(len(job.index.images), job.shards, chunk_images)[job.shard]
    records = job.index.images[start:stop]
    batches = token_batches(
        backbone, list(job.outputs), records, job.root, batch_size, workers, on_bad_image, precision
    )
    inputs = (*job.inputs, backbone.spec.weights)
    # Once for all blocks: it hashes the whole index.
    info = cache_info(backbone, 0, job.dataset, job.split, job.index, chunk_images)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(batches))
        writers = {}
        for layer, path in job.outputs.items():
            of_block = replace(info, layer=layer)
            writers[layer] = stack.enter_context(
                ShardWriter(
                    path,
                    of_block,
                    job.shard,
                    job.shards,
                    len(records),
                    inputs,
                    kept=layer not in job.measured,
                )
            )
        for kept, tokens, unreadable in batches:
            for layer, writer in writers.items():
                for image_id in unreadable:
                    writer.skip(image_id)
                if kept:
                    labels, ids = [r.label for r in kept], [r.image_id for r in kept]
                    writer.append(tokens[layer], labels, ids)


def tokens_of(
    backbone: Backbone,
    pixels: Num[torch.Tensor, "n 3 _ _"],
    records: Sequence[ImageRecord],
    layers: Collection[int],
    precision: str,
) -> dict[int, Float[np.ndarray, "n P D"]]:
    """Patch tokens of decoded images in the backbone's token order: {block: array [n, P, D]}.

    pixels: as `Preprocessing.pixels` gives them, uint8 or float32.
    """
    device = next(backbone.parameters()).device
    image_ids = [record.image_id for record in records]
    noise_np = None
    if backbone.spec.token_order == "forward":
        noise_np = forward_noise(math.prod(backbone.grid), image_ids, backbone.spec.seed)
    with autocast(precision, device):
        images = backbone.normalise(pixels.to(device, non_blocking=True))
        tokens = backbone.patch_tokens_of(images, layers, noise_np)
    if backbone.spec.token_order == "permuted":
        tokens = {
            layer: permute_patches(tokens_npd, image_ids, backbone.spec.seed)
            for layer, tokens_npd in tokens.items()
        }
    return {layer: _as_handed_over(tokens_npd, backbone) for layer, tokens_npd in tokens.items()}


def _as_handed_over(tokens_npd, backbone):
    # Converted before the transfer, which two bytes a number halve. What the storage cannot hold
    # is handed on as it is, so that the cache's own check can name it.
    stored_npd = tokens_npd.to(getattr(torch, backbone.spec.storage)).cpu()
    if stored_npd.dtype == torch.bfloat16:
        stored_npd = stored_npd.float()
    if not all_finite(stored_npd.numpy()):
        return tokens_npd.float().cpu().numpy()
    return stored_npd.numpy()


def decoders(number: int) -> Threads:
    """Threads that decode images. torch, where it resizes, leaves the cores to the network."""
    return Threads(number, _with_one_core)


def _with_one_core():
    torch.get_num_threads()  # here torch takes over its own number, once in each thread
    threadpoolctl.threadpool_limits(1, user_api="openmp")  # set by torch, it would be for all


def _by_threads(items, workers):
    """The items of a data set, in order, made ahead by threads.

    Processes would be forked, and then the network copies each page of memory that it writes to.
    """
    if not workers:
        yield from map(items.__getitem__, range(len(items)))
        return
    with decoders(workers) as pool:
        yield from pool.map(items.__getitem__, zip(range(len(items))))


def _by_processes(items, workers):
    """The same by processes, which a GPU that takes a thousand images per second needs."""
    yield from DataLoader(
        items,
        batch_size=None,  # an item is a batch already
        num_workers=workers,
        prefetch_factor=PREFETCHED_BATCHES if workers else None,
        # The other start methods would import the calling script again in every worker.
        multiprocessing_context="fork" if workers else None,
    )


class _DecodedBatches(Dataset):
    """Batches of records as pixels [n, 3, H, W], or None, and the failures: image id → message."""

    def __init__(self, batches, root, transform):
        self.batches, self.root, self.transform = batches, Path(root), transform

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, number):
        pixels, failures = [], {}
        for record in self.batches[number]:
            try:
                pixels.append(self.transform.pixels(load_image(self.root / record.path)))
            except UserError as error:
                failures[record.image_id] = str(error)
        return torch.from_numpy(np.stack(pixels)) if pixels else None, failures
