"""The token stream: every token exactly once per epoch, in an order that can be taken up again."""

import threading
import tracemalloc

import numpy as np
import pytest
import torch
from cache_fixtures import write_cache
from hypothesis import given, settings
from hypothesis import strategies as st

from visae.activations.cache import ActivationCache
from visae.activations.tokens import TokenStream

PATCHES, WIDTH = 6, 2


def numbered_cache(folder, images):
    """A cache in which every token's two values tell its number."""
    numbers = np.arange(images * PATCHES)
    tokens = np.stack([numbers % 1000, numbers // 1000], axis=1).astype(np.float16)
    return write_cache(folder, tokens.reshape(images, PATCHES, WIDTH), grid=(2, 3))


def numbers_of(batches):
    rows = torch.cat(list(batches)).long()
    return (rows[:, 0] + 1000 * rows[:, 1]).tolist()


@settings(max_examples=20, deadline=None)
@given(
    images=st.integers(1, 40),
    batch_size=st.integers(1, 300),
    window=st.integers(1, 50),
    seed=st.integers(0, 5),
)
def test_every_token_exactly_once(tmp_path_factory, images, batch_size, window, seed):
    with ActivationCache(numbered_cache(tmp_path_factory.mktemp("c"), images + 1)) as cache:
        stream = TokenStream(cache, batch_size, seed, window)
        batches = list(stream.batches())
        assert len(batches) == len(stream)
        assert all(len(batch) == batch_size for batch in batches[:-1])
        assert sorted(numbers_of(batches)) == list(range((images + 1) * PATCHES))


@pytest.mark.parametrize("start", [0, 1, 5, 9, 13, 14])
def test_stream_goes_on_at_any_batch(tmp_path, start):
    with ActivationCache(numbered_cache(tmp_path, 25)) as cache:
        stream = TokenStream(cache, batch_size=11, seed=3, window_images=8)
        whole = list(stream.batches(epoch=1))
        rest = list(stream.batches(epoch=1, start=start))
        assert len(rest) == len(whole) - start
        for one, other in zip(whole[start:], rest, strict=True):
            assert torch.equal(one, other)


def test_tokens_are_counted_over_epochs(tmp_path):
    with ActivationCache(numbered_cache(tmp_path, 25)) as cache:
        stream = TokenStream(cache, batch_size=11, seed=3, window_images=8)
        lengths = [len(batch) for epoch in range(2) for batch in stream.batches(epoch)]
        expected = np.cumsum([0, *lengths]).tolist()
        assert [stream.tokens_after(step) for step in range(len(expected))] == expected


def straightforward_batches(cache, batch_size, seed, window_images, epoch):
    """All batches of an epoch, the whole cache in memory."""
    order = np.random.default_rng([seed, epoch, 0]).permutation(len(cache.chunks))
    step = max(1, window_images // cache.info.chunk_images)
    tokens = []
    for number, first in enumerate(range(0, len(order), step)):
        chunks = [cache.read_chunk(chunk) for chunk in order[first : first + step]]
        window_td = np.concatenate(chunks).reshape(-1, cache.info.width)
        permuted = np.random.default_rng([seed, epoch, number + 1]).permutation(len(window_td))
        tokens.append(window_td[permuted])
    return torch.from_numpy(np.concatenate(tokens)).split(batch_size)


@settings(max_examples=30, deadline=None)
@given(
    batch_size=st.integers(1, 60),
    window=st.integers(1, 50),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 2),
    share=st.floats(0, 1),
)
def test_batches_are_those_of_the_whole_cache_in_memory(
    tmp_path_factory, batch_size, window, seed, epoch, share
):
    with ActivationCache(numbered_cache(tmp_path_factory.mktemp("c"), 25)) as cache:
        stream = TokenStream(cache, batch_size, seed, window)
        start = int(share * len(stream))
        expected = straightforward_batches(cache, batch_size, seed, window, epoch)[start:]
        batches = list(stream.batches(epoch, start))
        assert len(batches) == len(expected)
        assert all(map(torch.equal, batches, expected))
        assert all(batch.dtype == torch.float16 for batch in batches)


def test_order_never_changes(tmp_path):
    with ActivationCache(numbered_cache(tmp_path, 25)) as cache:
        order = numbers_of(TokenStream(cache, 16, 42, 12).batches(epoch=1))
    assert order[:6] == [112, 7, 146, 105, 111, 147]
    assert order[-6:] == [126, 125, 140, 135, 129, 124]


def test_order_is_shuffled_and_depends_on_seed_and_epoch(tmp_path):
    with ActivationCache(numbered_cache(tmp_path, 25)) as cache:
        orders = [
            numbers_of(TokenStream(cache, 16, seed, 12).batches(epoch))
            for seed, epoch in [(0, 0), (1, 0), (0, 1)]
        ]
        assert len({tuple(order) for order in orders}) == 3
        assert orders[0][:24] != sorted(orders[0][:24])
        # The chunk order is permuted too, not only the tokens within a window.
        assert max(orders[0][:40]) - min(orders[0][:40]) > 40


def test_damaged_chunk_reaches_the_consumer(tmp_path):
    import h5py

    from visae.base.errors import UserError

    joined = numbered_cache(tmp_path, 25)
    with h5py.File(next((tmp_path / "train").glob("shard-*.h5")), "r+") as file:
        file["activations"][13] += 1
    with ActivationCache(joined) as cache, pytest.raises(UserError, match="CRC-32"):
        list(TokenStream(cache, 11, 0, 8).batches())


def test_stopping_early_ends_the_threads(tmp_path):
    with ActivationCache(numbered_cache(tmp_path, 25)) as cache:
        before = threading.active_count()
        batches = TokenStream(cache, 2, 0, 8).batches()
        next(batches)
        assert threading.active_count() > before
        batches.close()
        assert threading.active_count() == before


def test_at_most_two_windows_are_in_memory(tmp_path):
    # Wide, so that threads and futures, some 90 kB, are little beside a window of 786 kB.
    activations = np.ones((128, PATCHES, 2048), np.float16)
    activations[0] = 2
    path = write_cache(tmp_path, activations, grid=(2, 3))
    with ActivationCache(path) as cache:
        window = 32 * activations[0].nbytes
        batches = TokenStream(cache, 8, 0, window_images=32).batches()
        tracemalloc.start()  # NumPy's memory, so the windows; batches are of torch
        for _ in batches:
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert 2 * window <= peak < 2.25 * window


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_pinned_batches(tmp_path):
    with ActivationCache(numbered_cache(tmp_path, 25)) as cache:
        stream = TokenStream(cache, 11, 0, 8)
        for pinned, plain in zip(stream.batches(pinned=True), stream.batches(), strict=True):
            assert pinned.is_pinned()
            assert torch.equal(pinned, plain)


@pytest.mark.parametrize("images", [16, 25])
def test_ragged_shards_are_shuffled_by_themselves_and_end_with_a_smaller_batch(tmp_path, images):
    with ActivationCache(numbered_cache(tmp_path, images)) as cache:
        shard, size = 2 * cache.info.chunk_images, 11
        stream = TokenStream(cache, size, 3, ragged_images=shard)
        batches = list(stream.batches(epoch=1))
        assert len(batches) == len(stream)
        numbers, position, shards = [numbers_of([b]) for b in batches], 0, []
        while position < len(numbers):
            # The shard of the first token, whole, in the batches that follow.
            first = numbers[position][0] // (shard * PATCHES)
            tokens = range(images * PATCHES)[first * shard * PATCHES :][: shard * PATCHES]
            count = -(-len(tokens) // size)
            own = numbers[position : position + count]
            assert [len(b) for b in own[:-1]] == [size] * (count - 1)
            flat = [n for b in own for n in b]
            assert sorted(flat) == list(tokens)
            assert flat != list(tokens)
            shards.append(first)
            position += count
        assert sorted(shards) == list(range(-(-images // shard)))
        for start in range(len(batches)):
            rest = list(stream.batches(epoch=1, start=start))
            assert [numbers_of([b]) for b in rest] == numbers[start:]
            seen = sum(len(b) for b in batches[:start])
            assert stream.tokens_after(len(batches) + start) == images * PATCHES + seen
