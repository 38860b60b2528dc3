"""Inference thresholds by pooled quantile: exact, and in memory for the kept codes only.

The threshold of an SAE is the value above which a fraction K/F of the codes of held-out tokens
lies, so that L0 = K there. It is the (n·K)-th largest of n·F codes: a stream of batches is cut
down to the n·K largest so far, which gives the same value however the tokens are batched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from visae.activations.source import Activations
from visae.base.arrays import Float, Int
from visae.base.progress import counted
from visae.sae.model import SparseAutoencoder

TOKENS_PER_BATCH = 2048


class Threshold(NamedTuple):
    """A measured inference threshold."""

    value: float | None
    """Codes at least this large are kept; None where the threshold was trained."""
    l0: float
    """Mean number of codes per token that this keeps, on the held-out tokens."""
    saturated: bool
    """Fewer than n·K codes were positive: the value is the smallest positive code."""


class LargestValues:
    """The `budget` largest positive values of a stream of tensors."""

    def __init__(self, budget: int):
        self._budget = budget
        self._pieces, self._held = [], 0
        self._floor = 0.0

    def add(self, values: Float[torch.Tensor, "*_"]) -> None:
        """Take the values (float32, any shape) into account."""
        piece = values[values > 0] if self._floor == 0 else values[values >= self._floor]
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held > 1.5 * self._budget:
            self._cut()

    def _cut(self):
        values = torch.cat(self._pieces)
        cut = values.topk(self._budget, sorted=False).values.min()
        # Ties with the smallest are kept, since they are at the threshold.
        self._floor = float(cut)
        values = values[values >= cut]
        self._pieces, self._held = [values], len(values)

    def cut_to(self, budget: int) -> LargestValues:
        """The same with a smaller budget."""
        self._budget = budget
        return self

    def threshold(self, tokens: int) -> Threshold:
        """The Threshold, of `tokens` tokens."""
        if self._held > self._budget:
            self._cut()
        values = torch.cat(self._pieces)
        smallest = float(values.min()) if len(values) else 0.0
        return Threshold(smallest, len(values) / tokens, len(values) < self._budget)


class BatchMinima:
    """The smallest code that BatchTopK keeps in each batch of a stream of tokens.

    A rest that is smaller than a batch is left out, unless it is all that there is.
    """

    def __init__(self, k: int, batch_tokens: int):
        self._k, self._batch_tokens = k, batch_tokens
        self._minima = []
        self._begin()

    def _begin(self):
        self._batch, self._tokens = LargestValues(self._k * self._batch_tokens), 0

    def add(self, codes_tf: Float[torch.Tensor, "T F"]) -> None:
        """Take the codes of T tokens into account."""
        while len(codes_tf):
            taken, codes_tf = codes_tf.split(
                [n := min(len(codes_tf), self._batch_tokens - self._tokens), len(codes_tf) - n]
            )
            self._batch.add(taken)
            self._tokens += n
            if self._tokens == self._batch_tokens:
                self._minima.append(self._batch.threshold(self._tokens).value)
                self._begin()

    def value(self) -> float:
        """The mean of the minima."""
        minima = self._minima or [
            self._batch.cut_to(self._k * self._tokens).threshold(self._tokens).value
        ]
        return float(np.mean(minima))


class ActiveCodes:
    """Counts active codes: for SAEs whose threshold is trained."""

    def __init__(self, value: float | None = None):
        self._value, self._active = value, 0

    def add(self, codes: Float[torch.Tensor, "*_"]) -> None:
        """Take the codes of a batch into account."""
        active = codes != 0 if self._value is None else codes >= self._value
        self._active += int(active.count_nonzero())

    def threshold(self, tokens: int) -> Threshold:
        """The Threshold whose value was given, of `tokens` tokens."""
        return Threshold(self._value, self._active / tokens, False)


def held_out_images(cache: Activations, images: int) -> Int[np.ndarray, " n"]:
    """Numbers of at most `images` images, evenly spaced over a cache: int64 array."""
    count = min(images, cache.images)
    return np.arange(count) * cache.images // count


def held_out_tokens(cache: Activations, images: int) -> Iterator[Float[torch.Tensor, "_ D"]]:
    """Yield the activations of evenly spaced images: tensors [≤ TOKENS_PER_BATCH, D]."""
    chosen = held_out_images(cache, images)
    for number, (start, stop) in enumerate(cache.chunks):
        rows = chosen[(chosen >= start) & (chosen < stop)] - start
        if len(rows):
            tokens = cache.read_chunk(number)[rows].reshape(-1, cache.info.width)
            yield from torch.from_numpy(tokens).split(TOKENS_PER_BATCH)


def measure_thresholds(
    models: Sequence[SparseAutoencoder],
    budgets: Sequence[float | None],
    cache: Activations,
    images: int,
    batch_tokens: int | None = None,
) -> list[Threshold]:
    """Thresholds and L0 of several SAEs by one read of a held-out cache: a list of Threshold.

    models: SparseAutoencoder, on one device, with threshold 0 where it is to be measured.
    budgets: K of each SAE, or None where the model's own threshold stands and only L0 is
    measured. images: how many images are read, evenly spaced over the cache.
    batch_tokens: tokens of a batch, where the mean of the batches' smallest kept codes is taken
    for the quantile; the cache is then read twice.
    """
    tokens = len(held_out_images(cache, images)) * cache.info.patches
    if batch_tokens is None:
        counters = [ActiveCodes() if k is None else LargestValues(int(k) * tokens) for k in budgets]
    else:
        minima = [None if k is None else BatchMinima(int(k), batch_tokens) for k in budgets]
        _count(models, minima, cache, images)
        counters = [ActiveCodes(None if each is None else each.value()) for each in minima]
    _count(models, counters, cache, images)
    return [counter.threshold(tokens) for counter in counters]


def _count(models, counters, cache, images):
    """Show every counter the codes of its model; those that are None see nothing."""
    total = cache.info.patches * len(held_out_images(cache, images))
    batches = held_out_tokens(cache, images)
    for batch in counted(batches, "held-out patches encoded", total, size=len):
        batch = batch.to(models[0].encoder_weight.device)
        for model, counter in zip(models, counters, strict=True):
            if counter is not None:
                counter.add(model.encode(model.normalise(batch)))
