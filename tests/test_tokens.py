"""The token stream: every token exactly once per epoch, in an order that can be taken up again."""

import numpy as np
import pytest
import torch
from cache_fixtures import write_cache
from hypothesis import given, settings
from hypothesis import strategies as st

from visae.cache import ActivationCache
from visae.tokens import TokenStream

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

    from visae.errors import UserError

    joined = numbered_cache(tmp_path, 25)
    with h5py.File(next((tmp_path / "train").glob("shard-*.h5")), "r+") as file:
        file["activations"][13] += 1
    with ActivationCache(joined) as cache, pytest.raises(UserError, match="CRC-32"):
        list(TokenStream(cache, 11, 0, 8).batches())
