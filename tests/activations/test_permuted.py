"""The control's cache: a view of the one in raster order, the same as if it had been extracted."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from cache_fixtures import random_activations, write_cache

from visae.activations.cache import ActivationCache
from visae.activations.opening import open_cache, read_statistics
from visae.activations.permuted import FORMAT, PermutedCache, write_permuted
from visae.activations.tokens import TokenStream
from visae.backbones.order import patch_order
from visae.base.errors import UserError
from visae.base.paths import Paths
from visae.base.seals import made_of, recorded, seal_hdf5

SPLIT, SEED = "toy/train", 5


@pytest.fixture
def study(tmp_path):
    """(paths, raster cache, view of it) of 22 images in two shards."""
    paths = Paths(str(tmp_path / "results"))
    cache = Path(paths.cache(SPLIT, "toy/layer2"))
    write_cache(cache.parent, random_activations(22), shards=2, split="train")
    view = Path(paths.cache(SPLIT, "control/layer2"))
    write_permuted(view, cache, "control", SEED)
    return paths, cache, view


def test_a_view_is_the_cache_with_each_images_patches_permuted(study):
    _, path, view = study
    with open_cache(path) as raster, open_cache(view) as permuted:
        assert isinstance(raster, ActivationCache)
        assert isinstance(permuted, PermutedCache)
        changes = {"backbone": "control", "token_order": "permuted"}
        assert permuted.info == replace(raster.info, **changes)
        assert permuted.image_ids == raster.image_ids
        assert permuted.chunks == raster.chunks
        np.testing.assert_array_equal(permuted.labels, raster.labels)
        moved = 0
        for number, (start, stop) in enumerate(raster.chunks):
            expected = raster.read_chunk(number)
            out = np.empty_like(expected)
            assert permuted.read_chunk(number, out) is out
            np.testing.assert_array_equal(permuted.read_chunk(number), out)
            for row, image_id in enumerate(raster.image_ids[start:stop]):
                order = patch_order(raster.info.patches, image_id, SEED)
                np.testing.assert_array_equal(out[row], expected[row, order])
                moved += (order != np.arange(len(order))).any()
        assert moved > 11
        assert permuted.fingerprint != raster.fingerprint
    assert view.stat().st_size < 20_000
    for one, other in zip(read_statistics(path), read_statistics(view), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_token_stream_of_a_view_has_the_same_tokens_in_another_order(study):
    _, path, view = study

    def tokens(of):
        with open_cache(of) as cache:
            return np.concatenate([b.numpy() for b in TokenStream(cache, 7, 0, 8).batches()])

    raster, permuted = tokens(path), tokens(view)
    assert (raster != permuted).any()
    np.testing.assert_array_equal(raster[np.lexsort(raster.T)], permuted[np.lexsort(permuted.T)])


def test_a_view_is_of_its_seed_and_its_cache(study):
    paths, path, view = study
    other = paths.cache(SPLIT, "other/layer2")
    write_permuted(other, path, "control", SEED + 1)
    with open_cache(view) as one, open_cache(other) as two:
        assert one.fingerprint != two.fingerprint
        assert (one.read_chunk(0) != two.read_chunk(0)).any()
    seal = recorded(view)["made_of"]
    assert seal[f"activations/toy/layer2/{SPLIT}.h5"] == recorded(path)["digest"]
    # What is made of a view is made of the cache as well.
    assert seal.items() <= made_of(paths.sae("x", place="control/layer2"), [view]).items()


def test_a_view_of_another_cache_or_of_none_is_refused(study):
    _, path, view = study
    path.unlink()
    with pytest.raises(UserError, match=r"refers to the cache \S+train.h5, which is missing"):
        open_cache(view)
    write_cache(path.parent, random_activations(22, seed=1), shards=2, split="train")
    with pytest.raises(UserError, match="was made of another"):
        open_cache(view)


def test_outside_a_study_the_digest_tells_another_cache(tmp_path):
    cache = write_cache(tmp_path / "a", random_activations(22), split="train")
    view = tmp_path / "b" / "view.h5"
    write_permuted(view, cache, "control", SEED)
    open_cache(view).close()
    write_cache(tmp_path / "a", random_activations(22, seed=1), split="train")
    with pytest.raises(UserError, match="is a view of another"):
        open_cache(view)


def test_a_view_is_found_through_links(study, tmp_path):
    """The folder of a block may lie on a larger disk."""
    _, path, view = study
    for folder in (path.parents[1], view.parents[1]):
        away = tmp_path / "disk" / folder.parent.name
        away.parent.mkdir(exist_ok=True)
        folder.rename(away)
        folder.symlink_to(away)
    with open_cache(view) as permuted, open_cache(path) as raster:
        assert permuted.tokens == raster.tokens
        permuted.read_chunk(0)


@pytest.mark.parametrize("order", ["permuted", "forward"])
def test_only_raster_order_is_permuted(tmp_path, order):
    cache = write_cache(tmp_path / "a", random_activations(22), token_order=order)
    with pytest.raises(UserError, match=f"in the order '{order}'"):
        write_permuted(tmp_path / "view.h5", cache, "control", SEED)
    assert not (tmp_path / "view.h5").exists()


def test_an_open_view_closes_its_cache(study):
    permuted = open_cache(study[2])
    permuted.read_chunk(0)
    permuted.close()
    with pytest.raises((ValueError, UserError)):
        permuted.read_chunk(0)


def test_a_view_that_says_other_than_its_cache_is_refused(study):
    """Behind a valid seal: the cache was put in the place of one of another grid."""
    _, path, view = study
    with h5py.File(view, "r+") as file:
        file.attrs["grid"] = np.array([4, 3])
        seal_hdf5(file, view, FORMAT, made_of(view, [path]))
    with pytest.raises(UserError, match="describes other activations"):
        open_cache(view)
