"""Training without a cache: the file is that of a cache, and so are all weights, to the bit."""

import threading
from contextlib import closing

import numpy as np
import pytest
from backbone_fixtures import TINY, random_pictures
from PIL import Image

from visae.activations.cache import ActivationCache
from visae.activations.computed import ComputedCache, computed_cache, measure
from visae.activations.extraction import ShardJob, extract
from visae.activations.opening import open_cache, read_statistics
from visae.activations.permuted import write_permuted
from visae.activations.shards import join_shards
from visae.backbones import BackboneSpec, build_backbone
from visae.base.errors import UserError
from visae.base.seals import recorded
from visae.images.index import shuffled
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.training import train_and_save

IMAGES, LAYERS, SHARDS = 45, (0, 1), 3
SETTINGS = {"chunk_images": 8, "batch_size": 4}


@pytest.fixture(scope="module")
def backbone():
    return build_backbone(BackboneSpec(name="tiny", **TINY))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """(folder, index in a seeded order) of images of random pixels."""
    root = tmp_path_factory.mktemp("images")
    return root, shuffled(random_pictures(root, IMAGES, "png"), 7)


def shards_of(path):
    return [f"{path.with_suffix('')}/shard-{n:05d}-of-{SHARDS:05d}.h5" for n in range(SHARDS)]


@pytest.fixture(scope="module")
def cached(tmp_path_factory, backbone, images):
    """Block → the joined cache, with its shards."""
    root, index = images
    folder = tmp_path_factory.mktemp("cached")
    paths = {layer: folder / f"{layer}/train.h5" for layer in LAYERS}
    jobs = [
        ShardJob("toy", "train", index, root, n, SHARDS,
                 {layer: shards_of(path)[n] for layer, path in paths.items()})
        for n in range(SHARDS)
    ]  # fmt: skip
    extract(backbone, jobs, **SETTINGS)
    for path in paths.values():
        join_shards(shards_of(path), path, statistics=True)
    return paths


@pytest.fixture(scope="module")
def measured(tmp_path_factory, backbone, images):
    """Block → the same without shards."""
    root, index = images
    folder = tmp_path_factory.mktemp("measured")
    paths = {layer: folder / f"{layer}/train.h5" for layer in LAYERS}
    shards = {layer: shards_of(path) for layer, path in paths.items()}
    measure(backbone, "toy", "train", index, root, shards, paths, **SETTINGS)
    return paths


def computed(path, backbone, images, **settings):
    root, index = images
    settings = {"batch_size": 4, "workers": 2} | settings
    return ComputedCache(ActivationCache(path, whole=False), backbone, index, root, **settings)


def test_the_file_is_that_of_the_cache(cached, measured):
    for layer in LAYERS:
        assert cached[layer].read_bytes() == measured[layer].read_bytes()
        (mean, std), (other, scale) = map(read_statistics, (cached[layer], measured[layer]))
        assert (mean.tobytes(), std) == (other.tobytes(), scale)
        assert not measured[layer].with_suffix("").exists()


def test_without_shards_it_is_no_cache_to_read(measured):
    with pytest.raises(UserError, match=r"shard-00000-of-00003\.h5, which is missing"):
        open_cache(measured[0])
    with (
        open_cache(measured[0], whole=False) as opened,
        pytest.raises(UserError, match=r"shard-00001-of-00003\.h5, which is missing"),
    ):
        opened.read_chunk(2)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_chunk_is_that_of_the_cache_in_any_order(cached, measured, backbone, images, layer):
    with (
        ActivationCache(cached[layer]) as cache,
        closing(computed(measured[layer], backbone, images)) as again,
    ):
        assert again.fingerprint == cache.fingerprint
        assert (again.chunks, again.image_ids) == (cache.chunks, cache.image_ids)
        for number in (5, 0, 3, 1):
            expected = cache.read_chunk(number)
            np.testing.assert_array_equal(again.read_chunk(number), expected)
            out = np.empty_like(expected)
            assert again.read_chunk(number, out) is out
            np.testing.assert_array_equal(out, expected)


def test_pictures_are_decoded_where_no_thread_is_given_for_it(cached, measured, backbone, images):
    with (
        ActivationCache(cached[LAYERS[0]]) as cache,
        closing(computed(measured[LAYERS[0]], backbone, images, workers=0)) as again,
    ):
        np.testing.assert_array_equal(again.read_chunk(0), cache.read_chunk(0))


@pytest.mark.parametrize("storage", ["bfloat16", "float32"])
def test_other_storages_are_computed_as_they_are_cached(tmp_path, images, storage):
    root, index = images
    network = build_backbone(BackboneSpec(name="tiny", **TINY, storage=storage))
    cached, measured = tmp_path / "cached/train.h5", tmp_path / "measured/train.h5"
    jobs = [
        ShardJob("toy", "train", index, root, n, SHARDS, {1: path})
        for n, path in enumerate(shards_of(cached))
    ]
    extract(network, jobs, **SETTINGS)
    join_shards(shards_of(cached), cached, statistics=True)
    shards, paths = {1: shards_of(measured)}, {1: measured}
    measure(network, "toy", "train", index, root, shards, paths, **SETTINGS)
    assert recorded(cached)["digest"] == recorded(measured)["digest"]
    with ActivationCache(cached) as cache, closing(computed(measured, network, images)) as again:
        expected = cache.read_chunk(5)
        out = np.empty_like(expected)
        assert again.read_chunk(5, out) is out
        for found in (out, again.read_chunk(5)):
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


def trained(folder, cache, held_out, minutes=15.0, **options):
    specs = [SaeSpec("batchtopk", 4, 3), SaeSpec("jumprelu", 2, 5)]
    settings = TrainingSettings(
        batch_size=40, window_images=16, epochs=2, log_interval=3, checkpoint_minutes=minutes
    )
    train_and_save(specs, cache, held_out, folder, settings, "cpu", **options)
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".safetensors", ".yaml", ".jsonl")
    }


class Killed(Exception):
    pass


def test_weights_are_those_of_training_from_the_cache_also_after_a_kill(
    tmp_path, cached, measured, backbone, images, monkeypatch
):
    with (
        ActivationCache(cached[1]) as cache,
        closing(computed(measured[1], backbone, images)) as again,
    ):
        expected = trained(tmp_path / "cache", cache, cache)
        assert len(expected) >= 4
        assert trained(tmp_path / "computed", again, cache) == expected
        # Killed in the middle of the second epoch, after a checkpoint.
        read, seen = again.read_chunk, []

        def ends(number, out=None):
            seen.append(number)
            if len(seen) == 9:
                raise Killed
            return read(number, out)

        monkeypatch.setattr(again, "read_chunk", ends)
        folder, resume = tmp_path / "killed", tmp_path / "resume"
        with pytest.raises(Killed):
            trained(folder, again, cache, minutes=0.0, resume_path=resume)
        assert resume.exists()
        said = []
        monkeypatch.setattr(again, "read_chunk", read)
        assert trained(folder, again, cache, resume_path=resume, report=said.append) == expected
        assert any(line.startswith("resuming at step") for line in said)


def test_a_view_of_it_is_that_of_the_cache(tmp_path, cached, measured, images):
    root, index = images
    # As rules have it: the index in files, the settings of the control.
    files = tmp_path / "val.csv", tmp_path / "classes.csv"
    settings = TINY | {"token_order": "permuted"}
    for name, path in (("cache", cached[0]), ("computed", measured[0])):
        write_permuted(tmp_path / f"{name}.h5", path, "tiny_permuted", 0)
    with open_cache(tmp_path / "cache.h5") as view:
        expected = [view.read_chunk(number) for number in (4, 1)]

    def opened(*_):
        return index

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("visae.activations.computed.open_index", opened)
        again = computed_cache(
            open_cache(tmp_path / "computed.h5", whole=False), settings, lambda name: files,
            root, 7, "cpu", 2, {"batch_size": 4, "precision": "float32"},
        )  # fmt: skip
    with again:
        for number, chunk in zip((4, 1), expected, strict=True):
            np.testing.assert_array_equal(again.read_chunk(number), chunk)


def test_other_images_or_another_network_are_refused(tmp_path, measured, backbone, images):
    root, index = images
    with pytest.raises(UserError, match="measured of other images, or by another network"):
        computed(measured[0], backbone, (root, shuffled(index, 8)))
    other = build_backbone(BackboneSpec(name="tiny", **TINY, seed=1))
    with pytest.raises(UserError, match="measured of other images, or by another network"):
        computed(measured[0], other, images)
    # An image that has changed since.
    for path in root.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = index.images[10].path
    Image.new("RGB", (40, 40)).save(tmp_path / changed)
    with closing(computed(measured[0], backbone, (tmp_path, index))) as again:
        again.read_chunk(0)
        with pytest.raises(UserError, match=r"chunk 1 of .* are not those that were measured"):
            again.read_chunk(1)


def test_activations_of_several_threads_are_their_own(cached, measured, backbone, images):
    found = {}
    with (
        ActivationCache(cached[1]) as cache,
        closing(computed(measured[1], backbone, images)) as again,
    ):
        threads = [
            threading.Thread(target=lambda n=n: found.update({n: again.read_chunk(n)}))
            for n in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in range(6):
            np.testing.assert_array_equal(found[number], cache.read_chunk(number))


def test_no_thread_decodes_on_where_measuring_fails(backbone, images, tmp_path, monkeypatch):
    root, index = images
    paths = {0: tmp_path / "0/train.h5"}
    shards = {0: shards_of(paths[0])}
    before = set(threading.enumerate())

    def fails(*_):
        assert set(threading.enumerate()) - before
        raise UserError("too large")

    monkeypatch.setattr("visae.activations.computed.as_stored", fails)
    with pytest.raises(UserError, match="too large") as caught:
        measure(backbone, "toy", "train", index, root, shards, paths, **SETTINGS, workers=2)
    assert caught.tb  # which holds the pass
    assert not set(threading.enumerate()) - before
