"""A job's splits: from caches, or straight from images, each open until the next is asked for."""

import inspect
import threading
from pathlib import Path

import numpy as np
import pytest
from backbone_fixtures import TINY, random_pictures
from cache_fixtures import random_activations, write_cache

from visae.activations import computed, opening, streaming
from visae.activations.cache import ActivationCache
from visae.activations.opening import (
    open_activations,
    open_cache,
    open_training,
    read_statistics,
)
from visae.activations.permuted import PermutedCache, write_permuted
from visae.base import devices
from visae.base.errors import UserError
from visae.base.paths import Paths, place
from visae.images.index import write_classes, write_images

SPLITS = ("train", "val")


PLACE = place("tiny", 1)


class Params(dict):
    """Like a rule's named params."""

    __getattr__ = dict.__getitem__


def content(activations):
    return np.concatenate(list(activations.image_units(4)))


def test_caches_are_found_by_the_name_of_their_split(tmp_path):
    planted = {f"toy/{split}": random_activations(10, seed=n) for n, split in enumerate(SPLITS)}
    results = Paths(str(tmp_path))
    for split, images in planted.items():
        path = Path(results.cache(split, PLACE))
        assert write_cache(path.parent, images, split=path.stem) == path
    for order in (list(planted), list(planted)[::-1]):
        opened = []
        found = open_activations(results, PLACE, Params(splits=order), 1)
        for (split, cache), expected in zip(found, order, strict=True):
            assert split == expected
            assert isinstance(cache, ActivationCache)
            np.testing.assert_array_equal(content(cache), planted[split])
            opened.append(cache)
        for cache in opened:
            with pytest.raises((ValueError, UserError), match=r"[Ii]nvalid|closed|not a dataset"):
                cache.read_chunk(0)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """(results, params) of a job that reads two splits of JPEGs."""
    monkeypatch.setattr(devices, "take_device", lambda: "cpu")
    results = Paths(str(tmp_path / "results"))
    for seed, split in enumerate(SPLITS):
        index = random_pictures(tmp_path, 6, "jpg", f"{split}-{{}}", seed)
        images, classes = results.index_and_classes(f"toy/{split}")
        write_images(Path(images), index)
        write_classes(Path(classes), index)
    params = Params(
        backbone=TINY,
        splits={f"toy/{split}": tmp_path for split in SPLITS},
        extraction={"chunk_images": 4, "batch_size": 3, "precision": "float32"},
    )
    return results, params


def test_without_caches_the_images_are_read(images):
    infos, contents = [], []
    results, params = images
    for name, activations in open_activations(results, PLACE, params, threads=1):
        assert name == f"toy/{activations.info.split}"
        contents.append(content(activations))
        assert contents[-1].shape == (6, 16, 16)
        assert activations.image_ids[0] == f"id-{activations.info.split}-0"
        infos.append((activations.info.backbone, activations.info.layer, activations.info.split))
    assert infos == [("tiny", 1, split) for split in SPLITS]
    assert not np.array_equal(*contents)


def test_a_stream_is_closed_when_the_next_is_asked_for_or_none(images):
    results, params = images
    alone = threading.active_count()
    opened = open_activations(results, PLACE, params, threads=3)
    next(opened)[1].read_chunk(0)
    assert threading.active_count() > alone
    _, second = next(opened)
    assert threading.active_count() == alone
    second.read_chunk(0)
    opened.close()
    assert threading.active_count() == alone


@pytest.mark.parametrize("threads", [1, 3])
def test_the_job_itself_is_one_of_its_threads(images, monkeypatch, threads):
    """A job of one thread starts no process that decodes images."""
    results, params = images
    found = []
    monkeypatch.setattr(streaming, "open_streams", lambda *given: found.append(given[4]) or [])
    assert not list(open_activations(results, PLACE, params, threads))
    assert found == [threads - 1]


def test_a_cache_or_a_view_is_opened_by_what_it_is_and_whole_unless_told(tmp_path):
    cache, view = write_cache(tmp_path, random_activations(5)), tmp_path / "view.h5"
    write_permuted(view, cache, "control", 3)
    for path, kind in ((cache, ActivationCache), (view, PermutedCache)):
        with open_cache(path) as found:
            assert type(found) is kind
            mean, std = read_statistics(path)
            assert (mean.tolist(), std) == (found.mean.tolist(), found.std)
    next((tmp_path / "train").glob("*.h5")).unlink()
    for path in (cache, view):
        with pytest.raises(UserError, match="which is missing"):
            open_cache(path)
        with open_cache(path, whole=False) as found:
            assert found.images == 5
        assert read_statistics(path)[1] == std


@pytest.mark.parametrize("backbone", [None, TINY])
def test_a_training_cache_is_read_or_computed_by_what_the_job_was_given(monkeypatch, backbone):
    monkeypatch.setattr(devices, "take_device", lambda: "a device")
    monkeypatch.setattr(opening, "open_cache", lambda *given, **more: ("opened", given, more))
    monkeypatch.setattr(computed, "computed_cache", lambda *given: given)
    results = Paths("results")
    params = Params(backbone=backbone, root="images", order_seed=7, extraction={"batch_size": 3})
    found = inspect.unwrap(open_training)("train.h5", results, params, 5)
    if backbone is None:
        assert found == ("opened", ("train.h5",), {})
        return
    measured, settings, index_files, *rest = found
    assert measured == ("opened", ("train.h5",), {"whole": False})
    assert settings is backbone
    assert index_files("toy/train") == results.index_and_classes("toy/train")
    assert rest == ["images", 7, "a device", 5, {"batch_size": 3}]
