"""A job's splits: from caches, or straight from images, each open until the next is asked for."""

from types import SimpleNamespace

import numpy as np
import pytest
from cache_fixtures import random_activations, write_cache
from PIL import Image

from visae.activations.cache import ActivationCache
from visae.activations.opening import open_activations
from visae.base import devices
from visae.images.index import ClassRecord, ImageRecord, build_index, write_classes, write_images

SPLITS = ("train", "val")


class Inputs(dict):
    """Like a rule's named inputs."""

    __getattr__ = dict.__getitem__


def content(activations):
    return np.concatenate(list(activations.image_units(4)))


def test_caches_are_open_one_after_the_other(tmp_path):
    planted = [random_activations(images, seed=images) for images in (10, 13)]
    paths = [
        write_cache(tmp_path, images, split=split)
        for split, images in zip(SPLITS, planted, strict=True)
    ]
    opened = []
    for cache, expected in zip(
        open_activations(Inputs(caches=paths), None, None, 1), planted, strict=True
    ):
        assert isinstance(cache, ActivationCache)
        np.testing.assert_array_equal(content(cache), expected)
        opened.append(cache)
    for cache in opened:
        with pytest.raises(ValueError, match=r"[Ii]nvalid|closed|not a dataset"):
            cache.read_chunk(0)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """(inputs, params, wildcards) of a job that reads two splits of JPEGs."""
    monkeypatch.setattr(devices, "take_device", lambda: "cpu")
    generator = np.random.default_rng(0)
    for split in SPLITS:
        records = []
        for number in range(6):
            name = f"{split}-{number}.jpg"
            pixels = generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name)
            records.append(ImageRecord(f"{split}-{number}", name, number % 2, f"c{number % 2}"))
        index = build_index(records, [ClassRecord(0, "c0"), ClassRecord(1, "c1")], tmp_path)
        write_images(tmp_path / f"{split}.csv", index)
        write_classes(tmp_path / f"{split}-classes.csv", index)
    inputs = Inputs(
        indices=[tmp_path / f"{split}.csv" for split in SPLITS],
        classes=[tmp_path / f"{split}-classes.csv" for split in SPLITS],
    )
    params = SimpleNamespace(
        backbone={
            "loader": "timm",
            "model": "deit_tiny_patch16_224.fb_in1k",
            "weights": "random",
            "image_size": 32,
            "options": {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2},
        },
        roots=[tmp_path, tmp_path],
        splits=[("toy", split) for split in SPLITS],
        extraction={"chunk_images": 4, "batch_size": 3, "precision": "float32"},
    )
    return inputs, params, SimpleNamespace(backbone="tiny", layer="1")


def test_without_caches_the_images_are_read(images):
    infos = []
    for activations in open_activations(*images, threads=1):
        assert content(activations).shape == (6, 16, 16)
        assert activations.image_ids[0] == f"{activations.info.split}-0"
        infos.append((activations.info.backbone, activations.info.layer, activations.info.split))
    assert infos == [("tiny", 1, split) for split in SPLITS]
