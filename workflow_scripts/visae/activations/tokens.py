"""The token stream: every patch token of a cache exactly once per epoch, in a seeded order.

Chunks are read in permuted order into a window held in memory, and the tokens of a window
are permuted: single tokens read at random would be 40–100 times slower. The order depends on
the seed and the epoch only, so that a killed run can go on at any batch.

All this is done by threads ahead of the consumer: one gathers the batches of a window, while
others read and check the chunks of the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import chain, pairwise

import numpy as np
import torch

from visae.activations.source import Cache
from visae.base.arrays import Float
from visae.base.pools import Threads, ahead

READERS = 2
"""Threads that read chunks: HDF5 lets one read at a time, and another checks what it has read."""

READY_BATCHES = 4
"""Batches that wait for the consumer, at most."""


class TokenStream:
    """Batches of patch tokens from a `Cache`.

    cache: an open cache. batch_size: tokens per batch (the last one may be smaller).
    window_images: images permuted together; at least one chunk is held. ragged_images: images of
    a shard, consecutive in the cache, that is permuted by itself and ends with a smaller batch;
    shards come in a seeded order. None for windows of permuted chunks, with batches across them.

    In memory are two windows (616 MB with 1024 images, P = 196 and D = 768, twice as much where
    activations are not stored in float16) and READY_BATCHES + 2
    batches: those that wait, the one that is being gathered and the one that the consumer has.
    """

    def __init__(
        self,
        cache: Cache,
        batch_size: int,
        seed: int,
        window_images: int = 1024,
        ragged_images: int | None = None,
    ):
        self.cache, self.batch_size, self.seed = cache, batch_size, seed
        self._ragged = ragged_images is not None
        images = window_images if ragged_images is None else ragged_images
        self._window_chunks = max(1, images // cache.info.chunk_images)

    def __len__(self) -> int:
        """The number of batches of one epoch."""
        if not self._ragged:
            return -(-self.cache.tokens // self.batch_size)
        return sum(-(-tokens // self.batch_size) for _, tokens in self._windows(0))

    def tokens_after(self, step: int) -> int:
        """Tokens of the first `step` batches, over all epochs."""
        epochs, rest = divmod(step, len(self))
        seen = epochs * self.cache.tokens
        if not self._ragged:
            return seen + rest * self.batch_size
        windows, first, offset = self._from(epochs, rest)
        return seen + sum(tokens for _, tokens in windows[:first]) + offset

    def batches(
        self, epoch: int = 0, start: int = 0, pinned: bool = False
    ) -> Iterator[Float[torch.Tensor, "_ D"]]:
        """Yield the batches of `epoch` from number `start` on: tensors [B, D], `info.dtype`.

        pinned: in page-locked memory, which is copied to a GPU while that computes.
        """
        return ahead(self._gathered(epoch, start, pinned), READY_BATCHES)

    def _gathered(self, epoch, start, pinned):
        windows, first, offset = self._from(epoch, start)
        left = sum(tokens for _, tokens in windows[first:]) - offset
        batch, filled = None, 0
        kind = getattr(torch, self.cache.info.dtype.name)
        with closing(self._read(windows[first:])) as read:
            for number, window_td in enumerate(read, first):
                generator = np.random.default_rng([self.seed, epoch, number + 1])
                order = generator.permutation(len(window_td))[offset:]
                if self._ragged:
                    left = len(order)
                offset = 0
                while len(order):
                    if batch is None:
                        shape = min(self.batch_size, left), self.cache.info.width
                        batch = torch.empty(shape, dtype=kind, pin_memory=pinned)
                    rows_td = batch.numpy()[filled : filled + len(order)]
                    # `clip`, because NumPy would check the order by gathering into a copy.
                    np.take(window_td, order[: len(rows_td)], axis=0, out=rows_td, mode="clip")
                    order = order[len(rows_td) :]
                    filled += len(rows_td)
                    if filled == len(batch):
                        yield batch
                        left -= filled
                        batch, filled = None, 0

    def _from(self, epoch, start):
        """The windows of an epoch, and of batch `start` the window and the token in it."""
        windows, first = self._windows(epoch), 0
        size = self.batch_size
        if self._ragged:
            while first < len(windows) and start >= (batches := -(-windows[first][1] // size)):
                start, first = start - batches, first + 1
            return windows, first, start * size
        offset = start * size
        while first < len(windows) and offset >= windows[first][1]:
            offset, first = offset - windows[first][1], first + 1
        return windows, first, offset

    def _windows(self, epoch):
        """[(chunk numbers, tokens), …] of an epoch."""
        chunks, patches = self.cache.chunks, self.cache.info.patches
        generator = np.random.default_rng([self.seed, epoch, 0])
        order = np.arange(len(chunks)) if self._ragged else generator.permutation(len(chunks))
        groups = [
            order[start : start + self._window_chunks]
            for start in range(0, len(order), self._window_chunks)
        ]
        if self._ragged:
            groups = [groups[number] for number in generator.permutation(len(groups))]
        images = [sum(chunks[c][1] - chunks[c][0] for c in group) for group in groups]
        return [(group, count * patches) for group, count in zip(groups, images, strict=True)]

    def _read(self, windows):
        """Yield the tokens of each window, [T, D], valid until the next one is asked for.

        The next one is being read meanwhile.
        """
        largest = max((tokens for _, tokens in windows), default=0)
        memory = np.empty((2, largest, self.cache.info.width), self.cache.info.dtype)
        with closing(_ChunkReader(self.cache)) as reader:
            started = (
                reader.start(chunks, memory[number % 2, :tokens])
                for number, (chunks, tokens) in enumerate(windows)
            )
            # In pairs, so that the second of them is started before the first is given out.
            nothing = memory[0, :0], []
            for (window_td, reads), _ in pairwise(chain(started, [nothing])):
                for read in reads:
                    read.result()
                yield window_td


class _ChunkReader:
    """Reads chunks of an open cache into given memory, in threads that `close` ends."""

    def __init__(self, cache):
        self._cache, self._threads = cache, Threads(READERS)

    def start(self, numbers, window_td):
        """Begin to read chunks, one after the other, into `window_td`: (window_td, futures)."""
        window_npd = window_td.reshape(-1, self._cache.info.patches, self._cache.info.width)
        reads, end = [], 0
        for number in numbers:
            first, stop = self._cache.chunks[number]
            chunk_npd = window_npd[end : end + stop - first]
            reads.append(self._threads.submit(self._cache.read_chunk, number, chunk_npd))
            end += len(chunk_npd)
        return window_td, reads

    def close(self):
        """Wait for the chunks that are being read, and drop those that are not."""
        self._threads.close()
