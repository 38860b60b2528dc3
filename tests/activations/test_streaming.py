"""Activations without a cache leave behind what they leave behind through one, bit by bit."""

import threading
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from backbone_fixtures import TINY, random_pictures
from sparse_fixtures import CODES

from visae.activations.cache import ActivationCache
from visae.activations.extraction import ShardJob, extract
from visae.activations.opening import open_cache
from visae.activations.permuted import write_permuted
from visae.activations.shards import join_shards
from visae.activations.streaming import StreamedActivations
from visae.backbones import BackboneSpec, build_backbone
from visae.base.errors import UserError
from visae.base.sparse_hdf5 import SparseDataset
from visae.encoding.raw_pass import reduce_raw
from visae.encoding.sae_pass import encode_activations
from visae.sae.model import SparseAutoencoder

IMAGES, LAYER = 13, 1
WIDTH = 16


@pytest.fixture(scope="module")
def backbone():
    return build_backbone(BackboneSpec("tiny", **TINY))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """(folder, index) of JPEGs of random pixels."""
    root = tmp_path_factory.mktemp("images")
    return root, random_pictures(root, IMAGES, "jpg")


def sae(features=40, threshold=0.5):
    generator = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(
        torch.randn(features, WIDTH, generator=generator), dim=1
    )
    return SparseAutoencoder(
        encoder_weight=torch.randn(features, WIDTH, generator=generator),
        encoder_bias=torch.zeros(features),
        decoder_weight=decoder,
        threshold=torch.tensor(threshold),
        activation_mean=torch.full((WIDTH,), 0.1),
        activation_std=torch.tensor(1.5),
    )


def streamed(backbone, dataset, **settings):
    root, index = dataset
    settings = {"chunk_images": 4, "batch_size": 2} | settings
    return StreamedActivations(backbone, LAYER, "toy", "val", index, root, **settings)


def content(path):
    """Everything in a reductions file: name → value."""
    with h5py.File(path) as file:
        arrays = {name: data[()] for name, data in file.items() if name != "codes_max"}
        if "codes_max" in file:
            arrays["codes_max"] = SparseDataset(file, "codes_max", CODES)[:]
        return arrays | {f"@{name}": value for name, value in file.attrs.items()}


def assert_equal(path, other):
    first, second = content(path), content(other)
    assert set(first) == set(second)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


@pytest.mark.parametrize("shards, batch_size, workers", [(1, 3, 0), (2, 2, 1), (1, 64, 0)])
def test_a_stream_leaves_the_same_reductions_as_a_cache(
    backbone, dataset, tmp_path, shards, batch_size, workers
):
    root, index = dataset
    settings = {"chunk_images": 4, "batch_size": batch_size, "workers": workers}
    jobs = [
        ShardJob("toy", "val", index, root, shard, shards, {LAYER: tmp_path / f"val/{shard}.h5"})
        for shard in range(shards)
    ]
    extract(backbone, jobs, **settings)
    join_shards([job.outputs[LAYER] for job in jobs], tmp_path / "val.h5", statistics=False)

    def encode(cache, name):
        encode_activations(
            cache,
            {"a": sae(), "b": sae(threshold=1.0)},
            {own: tmp_path / name / f"{own}.h5" for own in "ab"},
            sae_fingerprints={"a": "1", "b": "2"},
            minimum_active=(1, 5),
        )

    def reduce(cache, name):
        mean, std = np.full(WIDTH, 0.1), 1.5
        reduce_raw(cache, mean, std, tmp_path / name / "raw.h5", minimum_active=())

    for work in (encode, reduce):
        with ActivationCache(tmp_path / "val.h5") as cache:
            work(cache, "cache")
        work(streamed(backbone, dataset, **settings), "stream")
    for name in ("a", "b", "raw"):
        assert_equal(tmp_path / f"cache/{name}.h5", tmp_path / f"stream/{name}.h5")
    assert content(tmp_path / "stream/a.h5")["codes_max"].any()


def test_a_stream_is_read_once_and_in_order(backbone, dataset):
    stream = streamed(backbone, dataset)
    assert [len(stream.read_chunk(0)), len(stream.read_chunk(1))] == [4, 4]
    with pytest.raises(RuntimeError, match="chunk 0 of a stream whose next is 2"):
        stream.read_chunk(0)
    with pytest.raises(RuntimeError, match="known when all"):
        _ = stream.fingerprint


@pytest.mark.parametrize("chunks", [1, 4])
def test_a_closed_stream_leaves_no_thread_behind(backbone, dataset, chunks):
    """Read halfway or to its end, which it does not know for the end."""
    before = set(threading.enumerate())
    with streamed(backbone, dataset, workers=2) as stream:
        assert stream.chunks[-1] == (12, IMAGES)
        for number in range(chunks):
            stream.read_chunk(number)
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) <= before


def test_an_unreadable_image_stops_a_stream(backbone, dataset, tmp_path):
    root, index = dataset
    for path in root.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "05.jpg").write_bytes(b"no image")
    stream = streamed(backbone, (tmp_path, index))
    stream.read_chunk(0)
    with pytest.raises(UserError, match=r"05\.jpg"):
        stream.read_chunk(1)


def test_a_stream_of_the_control_is_as_a_view_of_the_cache_in_raster_order(
    backbone, dataset, tmp_path
):
    """Each image is permuted once, and in the same order."""
    root, index = dataset
    shard, cache, view = (tmp_path / name for name in ("val/0.h5", "val.h5", "view.h5"))
    job = ShardJob("toy", "val", index, root, 0, 1, {LAYER: shard})
    extract(backbone, [job], chunk_images=4, batch_size=2)
    join_shards([shard], cache, statistics=False)
    write_permuted(view, cache, "tiny", backbone.spec.seed)
    control = build_backbone(replace(backbone.spec, token_order="permuted"))
    stream = streamed(control, dataset)
    with open_cache(view) as permuted, open_cache(cache) as raster:
        assert permuted.info == stream.info
        for number in range(len(stream.chunks)):
            of_stream = stream.read_chunk(number)
            np.testing.assert_array_equal(permuted.read_chunk(number), of_stream)
            assert (raster.read_chunk(number) != of_stream).any()


def test_activations_that_are_not_finite_are_refused(backbone, dataset):
    stream = streamed(backbone, dataset)
    refused = {LAYER: np.full((4, 16, WIDTH), 1e6)}
    stream._batches = iter([(dataset[1].images[:4], refused, [])])
    with pytest.raises(UserError, match=r"1,000,000 in channel 0 .* 'id-00' of toy/val"):
        stream.read_chunk(0)
