"""The token stream: every patch token of a cache exactly once per epoch, in a seeded order.

Chunks are read in permuted order into a window held in memory, and the tokens of a window
are permuted: single tokens read at random would be 40–100 times slower. The order depends on
the seed and the epoch only, so that a killed run can go on at any batch.
"""

import threading
from queue import Queue

import numpy as np
import torch


class TokenStream:
    """Batches of patch tokens from an `ActivationCache`.

    cache: an open cache. batch_size: tokens per batch (the last one may be smaller).
    window_images: images permuted together; at least one chunk is held.
    """

    def __init__(self, cache, batch_size, seed, window_images=1024):
        self.cache, self.batch_size, self.seed = cache, batch_size, seed
        self._window_chunks = max(1, window_images // cache.info.chunk_images)

    def __len__(self):
        """The number of batches of one epoch."""
        return -(-self.cache.tokens // self.batch_size)

    def batches(self, epoch=0, start=0):
        """Yield the batches of `epoch` from number `start` on: float16 tensors [B, D]."""
        windows = self._windows(epoch)
        offset, first = start * self.batch_size, 0
        while first < len(windows) and offset >= windows[first][1]:
            offset -= windows[first][1]
            first += 1
        pieces, missing = [], self.batch_size
        for number, window_td in _prefetched(
            lambda number: self._read_window(windows[number][0]), range(first, len(windows))
        ):
            generator = np.random.default_rng([self.seed, epoch, number + 1])
            order = torch.from_numpy(generator.permutation(len(window_td)))
            position, offset = offset, 0
            while position < len(order):
                piece = window_td[order[position : position + missing]]
                position += len(piece)
                pieces.append(piece)
                missing -= len(piece)
                if not missing:
                    yield pieces[0] if len(pieces) == 1 else torch.cat(pieces)
                    pieces, missing = [], self.batch_size
        if pieces:
            yield torch.cat(pieces)

    def _windows(self, epoch):
        """[(chunk numbers, tokens), …] of an epoch."""
        chunks, patches = self.cache.chunks, self.cache.info.patches
        order = np.random.default_rng([self.seed, epoch, 0]).permutation(len(chunks))
        groups = [
            order[start : start + self._window_chunks]
            for start in range(0, len(order), self._window_chunks)
        ]
        images = [sum(chunks[c][1] - chunks[c][0] for c in group) for group in groups]
        return [(group, count * patches) for group, count in zip(groups, images, strict=True)]

    def _read_window(self, chunk_numbers):
        width = self.cache.info.width
        parts = [self.cache.read_chunk(number).reshape(-1, width) for number in chunk_numbers]
        return torch.from_numpy(np.concatenate(parts))


def _prefetched(read, items):
    """Yield (item, read(item)) with the next item read in a thread meanwhile."""
    queue, stop = Queue(maxsize=1), threading.Event()

    def work():
        for item in items:
            if stop.is_set():
                return
            try:
                queue.put((item, read(item), None))
            except BaseException as error:
                queue.put((item, None, error))
                return
        queue.put(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (entry := queue.get()) is not None:
            item, value, error = entry
            if error is not None:
                raise error
            yield item, value
    finally:
        stop.set()
        while thread.is_alive():
            if not queue.empty():
                queue.get()
            thread.join(timeout=0.01)
