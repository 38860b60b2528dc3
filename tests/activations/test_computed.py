"""Training without a cache: the file is that of a cache, and so are all weights, to the bit."""

import os
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from backbone_fixtures import TINY, random_pictures
from PIL import Image

from visae.activations.cache import ActivationCache
from visae.activations.computed import ComputedCache, computed_cache
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


def shards_of(path, kind="shard"):
    return [f"{path.with_suffix('')}/{kind}-{n:05d}-of-{SHARDS:05d}.h5" for n in range(SHARDS)]


def extracted(backbone, images, caches, measured=()):
    """Extract and join the caches: block → path. measured: blocks that keep no activations."""
    root, index = images
    kinds = {layer: "measured" if layer in measured else "shard" for layer in caches}
    written = {layer: shards_of(path, kinds[layer]) for layer, path in caches.items()}
    jobs = [
        ShardJob("toy", "train", index, root, n, SHARDS,
                 {layer: shards[n] for layer, shards in written.items()}, measured=measured)
        for n in range(SHARDS)
    ]  # fmt: skip
    extract(backbone, jobs, **SETTINGS)
    for layer, path in caches.items():
        own = written[layer] if layer in measured else None
        join_shards(shards_of(path), path, True, own)
    return caches


@pytest.fixture(scope="module")
def cached(tmp_path_factory, backbone, images):
    """Block → the joined cache, with its shards."""
    folder = tmp_path_factory.mktemp("cached")
    return extracted(backbone, images, {layer: folder / f"{layer}/train.h5" for layer in LAYERS})


@pytest.fixture(scope="module")
def measured(tmp_path_factory, backbone, images):
    """Block → the same without activations."""
    folder = tmp_path_factory.mktemp("measured")
    paths = {layer: folder / f"{layer}/train.h5" for layer in LAYERS}
    return extracted(backbone, images, paths, measured=LAYERS)


def computed(path, backbone, images, **settings):
    root, index = images
    settings = {"batch_size": 4, "workers": 2} | settings
    return ComputedCache(ActivationCache(path, whole=False), backbone, index, root, **settings)


def test_the_file_is_that_of_the_cache(cached, measured):
    for layer in LAYERS:
        assert cached[layer].read_bytes() == measured[layer].read_bytes()
        (mean, std), (other, scale) = map(read_statistics, (cached[layer], measured[layer]))
        assert (mean.tobytes(), std) == (other.tobytes(), scale)
        there = [str(path) for path in measured[layer].with_suffix("").iterdir()]
        assert sorted(there) == shards_of(measured[layer], "measured")


def test_a_pass_keeps_the_activations_of_one_block_and_measures_another(
    tmp_path, cached, backbone, images
):
    paths = {layer: tmp_path / f"{layer}/train.h5" for layer in LAYERS}
    extracted(backbone, images, paths, measured=[0])
    for layer in LAYERS:
        assert paths[layer].read_bytes() == cached[layer].read_bytes()
    for one, other in zip(shards_of(paths[1]), shards_of(cached[1]), strict=True):
        assert Path(one).read_bytes() == Path(other).read_bytes()
    assert not any(map(os.path.exists, shards_of(paths[0])))


def test_shards_with_activations_and_without_are_told_apart(tmp_path, cached, measured):
    kept, without = shards_of(cached[0]), shards_of(measured[0], "measured")
    for path in without:
        assert os.path.getsize(path) < 20_000
    with pytest.raises(UserError, match=r"shard-00000-of-00003\.h5 .*it holds activations"):
        join_shards(shards_of(measured[0]), tmp_path / "x.h5", True, measured=kept)
    with pytest.raises(UserError, match=r"measured-00000-of-00003\.h5 .*it holds no activations"):
        join_shards(without, tmp_path / "x.h5", True)


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
    network = build_backbone(BackboneSpec(name="tiny", **TINY, storage=storage))
    cached, measured = tmp_path / "cached/train.h5", tmp_path / "measured/train.h5"
    extracted(network, images, {1: cached})
    extracted(network, images, {1: measured}, measured=[1])
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
    before = set(threading.enumerate())

    def fails(*_):
        assert set(threading.enumerate()) - before
        raise UserError("too large")

    monkeypatch.setattr("visae.activations.shards.as_stored", fails)
    job = ShardJob("toy", "train", index, root, 0, 1, {0: tmp_path / "0.h5"}, measured=[0])
    with pytest.raises(UserError, match="too large") as caught:
        extract(backbone, [job], **SETTINGS, workers=2)
    assert caught.tb  # which holds the pass
    assert not set(threading.enumerate()) - before
