"""Caches: what is written is read, and nothing damaged, foreign or half-written ever loads."""

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from cache_fixtures import cache_info, random_activations, write_cache

from visae.activations.cache import ActivationCache
from visae.activations.format import (
    CacheInfo,
    check_compatible,
    check_same_activations,
    content_fingerprint,
    open_file,
)
from visae.activations.shards import ShardWriter, join_shards, shard_bounds
from visae.activations.source import Activations
from visae.base import hdf5
from visae.base.errors import UserError


def shards_of(joined):
    return sorted((joined.parent / "train").glob("shard-*.h5"))


def test_round_trip(tmp_path):
    activations = random_activations()
    labels = np.arange(22) % 3
    with ActivationCache(write_cache(tmp_path, activations, shards=3, labels=labels)) as cache:
        read = np.concatenate([cache.read_chunk(i) for i in range(len(cache.chunks))])
        np.testing.assert_array_equal(read, activations)
        np.testing.assert_array_equal(cache.labels, labels)
        assert cache.image_ids[7] == "image-000007"
        assert (cache.images, cache.tokens) == (22, 22 * 12)
        assert cache.info == cache_info()


def test_joined_file_is_a_plain_hdf5_view(tmp_path):
    activations = random_activations()
    with h5py.File(write_cache(tmp_path, activations, shards=2)) as file:
        np.testing.assert_array_equal(file["activations"][5:9], activations[5:9])


def test_equal_caches_are_equal_bytes_whenever_they_are_made(tmp_path):
    paths = [tmp_path / name / "train.h5" for name in "ab"]
    for path in paths:
        path.parent.mkdir()
        write_cache(path.parent, random_activations(10), shards=3)
        time.sleep(1.1)  # files keep whole seconds, where they keep any
    first, second = ([*shards_of(path), path] for path in paths)
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_statistics_are_those_of_float64(tmp_path):
    activations = random_activations()
    tokens = activations.reshape(-1, 5).astype(np.float64)
    with ActivationCache(write_cache(tmp_path, activations)) as cache:
        np.testing.assert_allclose(cache.mean, tokens.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(cache.std, np.sqrt(tokens.var(axis=0).mean()), rtol=1e-13)


def moments_of(joined):
    """(/chunk_mean, /chunk_squares) of the only shard."""
    [shard] = shards_of(joined)
    with h5py.File(shard) as file:
        return file["chunk_mean"][:], file["chunk_squares"][:]


def test_moments_of_every_float16_number_are_those_of_float64(tmp_path):
    numbers = np.arange(2**16, dtype=np.uint16).view(np.float16)
    numbers = numbers[np.isfinite(numbers)]
    tokens = np.random.default_rng(0).permutation(numbers).reshape(1, -1, 2)
    grid = (1, tokens.shape[1])
    means, squares = moments_of(write_cache(tmp_path, tokens, grid=grid, chunk_images=1))
    exact = tokens[0].astype(np.float64)
    np.testing.assert_allclose(means[0], exact.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(squares[0], ((exact - means[0]) ** 2).sum(axis=0), rtol=1e-13)


def test_moments_do_not_cancel(tmp_path):
    tokens = 2048 + 2 * np.random.default_rng(0).integers(0, 2, (4, 12, 5)).astype(np.float16)
    means, squares = moments_of(write_cache(tmp_path, tokens))
    ones = (tokens.reshape(-1, 5) == 2050).sum(axis=0)
    np.testing.assert_allclose(means[0] - 2048, 2 * ones / 48, rtol=1e-11)
    np.testing.assert_allclose(squares[0], 4 * ones * (48 - ones) / 48, rtol=1e-13)


@pytest.mark.parametrize("shards,batch", [(1, 22), (2, 1), (5, 7)])
def test_sharding_and_batches_change_no_bit(tmp_path, shards, batch):
    activations = random_activations()
    with (
        ActivationCache(write_cache(tmp_path / "a", activations)) as one,
        ActivationCache(
            write_cache(tmp_path / "b", activations, shards=shards, batch=batch)
        ) as other,
    ):
        assert one.fingerprint == other.fingerprint
        assert one.chunks == other.chunks
        assert (one.mean == other.mean).all()
        assert one.std == other.std


def test_more_shards_than_chunks_is_refused():
    assert shard_bounds(22, 3, 4) == [(0, 8), (8, 16), (16, 22)]
    with pytest.raises(UserError, match="at most 6"):
        shard_bounds(22, 7, 4)


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf, 1e6, -1e6])
def test_activations_that_are_not_finite_are_refused_with_the_image(tmp_path, bad):
    activations = random_activations().astype(np.float32)
    activations[9, 2, 1] = bad
    with pytest.raises(UserError, match="image-000009"):
        write_cache(tmp_path, activations)
    assert not list(tmp_path.rglob("*.h5"))


def test_flipped_byte_is_caught_on_joining_and_on_reading(tmp_path):
    joined = write_cache(tmp_path, random_activations(), shards=2)
    shard = shards_of(joined)[1]
    with h5py.File(shard, "r+") as file:
        value = file["activations"][0, 0, 0]
        file["activations"][0, 0, 0] = -value
    with pytest.raises(UserError, match="CRC-32"):
        join_shards(shards_of(joined), joined, statistics=True)
    with ActivationCache(joined) as cache:
        cache.read_chunk(0)
        with pytest.raises(UserError, match=rf"{shard} does not match its CRC-32"):
            cache.read_chunk(3)


def test_truncated_shard_is_refused(tmp_path):
    joined = write_cache(tmp_path, random_activations(), shards=2)
    shard = shards_of(joined)[0]
    shard.write_bytes(shard.read_bytes()[:-500])
    with pytest.raises(UserError, match=str(shard)):
        join_shards(shards_of(joined), joined, statistics=True)


def test_missing_shard_is_never_read_as_zeros(tmp_path):
    joined = write_cache(tmp_path, random_activations(), shards=2)
    shards_of(joined)[1].unlink()
    with pytest.raises(UserError, match=r"shard-00001-of-00002\.h5, which is missing"):
        ActivationCache(joined)


def read_all(path):
    with ActivationCache(path) as cache:
        return np.concatenate([cache.read_chunk(i) for i in range(len(cache.chunks))])


@pytest.mark.parametrize("kind", ["file", "folder", "shards"])
def test_caches_are_read_through_links(tmp_path, kind):
    activations = random_activations()
    joined = write_cache(tmp_path / "disk", activations, shards=2)
    link = tmp_path / "study" / "train.h5"
    link.parent.mkdir()
    if kind == "file":
        link.symlink_to(joined)
    elif kind == "folder":
        link.parent.rmdir()
        link.parent.symlink_to(joined.parent)
    else:
        joined.rename(link)
        link.with_name("train").symlink_to(joined.parent / "train")
    np.testing.assert_array_equal(read_all(link), activations)


def test_shards_of_another_cache_beside_a_link_or_in_the_working_directory(tmp_path, monkeypatch):
    activations = random_activations()
    joined = write_cache(tmp_path / "disk", activations, shards=2)
    write_cache(tmp_path / "other", -activations, shards=2)
    monkeypatch.chdir(tmp_path / "other")
    np.testing.assert_array_equal(read_all(joined), activations)


def test_threads_that_read_at_once_open_a_shard_once(tmp_path, monkeypatch):
    joined = write_cache(tmp_path, random_activations(32), shards=2)
    opened = []

    def slowly(path):
        time.sleep(0.02)
        opened.append(open_file(path))
        return opened[-1]

    monkeypatch.setattr("visae.activations.cache.open_file", slowly)
    with ActivationCache(joined) as cache, ThreadPoolExecutor(8) as pool:
        list(pool.map(cache.read_chunk, range(len(cache.chunks))))
    assert len(opened) == 2
    assert not any(opened)  # closed, all of them


def test_no_prefix_of_virtual_data_sets_leads_elsewhere(tmp_path):
    activations = random_activations()
    joined = write_cache(tmp_path / "disk", activations, shards=2)
    write_cache(tmp_path / "other", -activations, shards=2)
    for prefix in (tmp_path / "other", tmp_path / "nowhere"):
        code = "import sys; from test_cache import read_all; read_all(sys.argv[1])"
        environment = os.environ | {
            "HDF5_VDS_PREFIX": str(prefix),  # which HDF5 reads once
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        }
        subprocess.run([sys.executable, "-c", code, str(joined)], env=environment, check=True)


@pytest.mark.parametrize(
    "change", [{"backbone": "other"}, {"layer": 2}, {"weights_fingerprint": "f" * 16}]
)
def test_shard_of_another_cache_is_refused(tmp_path, change):
    activations = random_activations()
    own = shards_of(write_cache(tmp_path / "own", activations, shards=2))
    foreign = shards_of(write_cache(tmp_path / "foreign", activations, shards=2, **change))
    [(name, value)] = change.items()
    theirs = getattr(cache_info(), name)
    with pytest.raises(UserError, match=f"its {name} is {value!r}, theirs is {theirs!r}"):
        join_shards([own[0], foreign[1]], tmp_path / "own" / "train.h5", statistics=True)


def test_shards_in_the_wrong_place_are_refused(tmp_path):
    shards = shards_of(write_cache(tmp_path, random_activations(), shards=2))
    with pytest.raises(UserError, match="shard 1 of 2, but shard 0"):
        join_shards(shards[::-1], tmp_path / "train.h5", statistics=True)


def test_a_shard_of_another_number_of_shards_is_refused(tmp_path):
    shards = shards_of(write_cache(tmp_path, random_activations(), shards=3))
    with pytest.raises(UserError, match="shard 0 of 3, but shard 0 of 2"):
        join_shards(shards[:2], tmp_path / "train.h5", statistics=True)


def write_shards(folder, sizes, skipped=()):
    """Shards of these sizes, of chunks of 4 images; those of number `skipped` lack their last."""
    activations, paths, start = random_activations(sum(sizes)), [], 0
    for number, size in enumerate(sizes):
        paths.append(folder / "train" / f"shard-{number}.h5")
        kept = size - (number in skipped)
        with ShardWriter(paths[-1], cache_info(), number, len(sizes), size) as writer:
            rows = range(start, start + kept)
            writer.append(activations[start : start + kept], rows, [f"{row}" for row in rows])
            if kept < size:
                writer.skip("broken")
        start += size
    return activations, paths


def test_shards_that_end_within_a_chunk_are_refused_unless_images_were_skipped(tmp_path):
    _, paths = write_shards(tmp_path / "ragged", [4, 6, 4])
    with pytest.raises(UserError, match=r"shard-1\.h5 does not hold whole chunks of 4 images"):
        join_shards(paths, tmp_path / "ragged" / "train.h5", statistics=True)
    _, paths = write_shards(tmp_path / "last", [4, 8, 6])
    join_shards(paths, tmp_path / "last" / "train.h5", statistics=True)
    activations, paths = write_shards(tmp_path / "short", [8, 8, 4], skipped=[1])
    joined = tmp_path / "short" / "train.h5"
    join_shards(paths, joined, statistics=True)
    with ActivationCache(joined) as cache:
        assert cache.chunks == [(0, 4), (4, 8), (8, 12), (12, 15), (15, 19)]
        assert cache.labels.tolist() == [*range(15), *range(16, 20)]
    np.testing.assert_array_equal(read_all(joined), np.delete(activations, 15, axis=0))


OTHER_INFO = {
    "backbone": "other", "model": "other", "weights_fingerprint": "other", "layer": 4,
    "dataset": "other", "split": "other", "grid": (4, 3), "width": 6, "token_order": "permuted",
    "preprocessing": {"size": 65}, "index_fingerprint": "other", "chunk_images": 5,
    "storage": "float32",
}  # fmt: skip


def test_the_fingerprint_is_of_all_that_a_cache_holds():
    def fingerprint(crc=(1, 2), labels=(0, 1, 2), image_ids=("a", "b", "c"), **changes):
        return content_fingerprint(
            cache_info(**changes), list(crc), np.array(labels), list(image_ids)
        )

    fields = {field.name for field in dataclasses.fields(CacheInfo)}
    assert set(OTHER_INFO) == fields - {"weights_reading"}  # how they were read: not what they are
    others = [fingerprint(**{name: value}) for name, value in OTHER_INFO.items()]
    others += [
        fingerprint(crc=(2, 1)),
        fingerprint(labels=(0, 2, 1)),
        fingerprint(labels=(0, 1, 3)),
    ]
    others += [fingerprint(image_ids=("a", "c", "b")), fingerprint(image_ids=("a", "b", "d"))]
    assert len({fingerprint(), *others}) == 1 + len(others)
    assert fingerprint() == fingerprint(weights_reading="other")


def test_labels_alone_change_the_fingerprint_of_a_cache(tmp_path):
    found = set()
    for number, labels in enumerate(([0, 1] * 11, [1, 0] * 11)):
        with ActivationCache(
            write_cache(tmp_path / str(number), random_activations(), labels=labels)
        ) as cache:
            found.add(cache.fingerprint)
    assert len(found) == 2


def test_cache_of_another_backbone_is_refused():
    check_compatible(cache_info(), "toy", 3)
    for backbone, layer in (("clip", 3), ("toy", 4)):
        with pytest.raises(UserError, match=f"of toy at layer 3, but those of {backbone} at layer"):
            check_compatible(cache_info(), backbone, layer)


@pytest.mark.parametrize(
    "change", [{"weights_fingerprint": "other"}, {"token_order": "permuted"}, {"preprocessing": {}}]
)
def test_cache_of_other_activations_is_refused(change):
    check_same_activations(cache_info(), cache_info(dataset="dtd", split="test1"))
    with pytest.raises(
        UserError, match=f"photographs/train holds activations with {next(iter(change))}"
    ):
        check_same_activations(cache_info(), cache_info(split="val", **change))


def test_constant_activations_are_refused(tmp_path):
    with pytest.raises(UserError, match="do not vary"):
        write_cache(tmp_path, np.ones((8, 12, 5), np.float16))


def test_no_images_give_no_unit():
    activations = Activations()
    activations.chunks = []
    assert list(activations.image_units(4)) == []


def test_skipped_images_are_recorded(tmp_path):
    activations = random_activations(6)
    path = tmp_path / "train" / "shard.h5"
    with ShardWriter(path, cache_info(), 0, 1, images=7) as writer:
        writer.append(activations, [0] * 6, [str(i) for i in range(6)])
        writer.skip("broken")
    join_shards([path], tmp_path / "train.h5", statistics=True)
    with ActivationCache(tmp_path / "train.h5") as cache:
        assert cache.skipped_ids == ["broken"]
        assert cache.images == 6


def test_activations_are_the_writer_s_own_once_they_are_appended(tmp_path):
    activations = random_activations()
    path, batch = tmp_path / "shard.h5", np.empty_like(activations[:2])
    with ShardWriter(path, cache_info(), 0, 1, images=22) as writer:
        for start in range(0, 22, 2):
            batch[:] = activations[start : start + 2]
            writer.append(batch, [0, 0], ["a", "b"])
            batch[:] = np.nan
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["activations"], activations)


@pytest.mark.parametrize("failing", [0, 1, 5])
def test_chunk_that_cannot_be_written_is_told_and_leaves_nothing(failing, tmp_path, monkeypatch):
    appended = []

    def write(self, start, chunk, original=ShardWriter._write):
        if start == 4 * failing:
            raise OSError("a disk has failed")
        original(self, start, chunk)

    def write_six_chunks():
        with ShardWriter(tmp_path / "shard.h5", cache_info(), 0, 1, images=24) as writer:
            for chunk in random_activations(24).reshape(6, 4, 12, 5):
                appended.append(chunk)
                writer.append(chunk, [0] * 4, ["id"] * 4)

    monkeypatch.setattr(ShardWriter, "_write", write)
    with pytest.raises(OSError, match="a disk has failed"):
        write_six_chunks()
    assert len(appended) <= failing + 2
    assert not list(tmp_path.iterdir())


def test_one_chunk_at_a_time_is_written_behind(tmp_path, monkeypatch):
    go, begun = threading.Event(), []

    def write(self, start, chunk, original=ShardWriter._write):
        begun.append(start)
        go.wait()
        original(self, start, chunk)

    monkeypatch.setattr(ShardWriter, "_write", write)
    activations = random_activations(16)
    with ShardWriter(tmp_path / "shard.h5", cache_info(), 0, 1, images=16) as writer:
        writer.append(activations[:7], [0] * 7, ["id"] * 7)
        append = threading.Thread(target=writer.append, args=(activations[7:], [0] * 9, ["id"] * 9))
        append.start()
        append.join(timeout=0.2)
        assert append.is_alive()
        assert begun == [0]
        go.set()
        append.join()
    assert begun == [0, 4, 8, 12]


def test_killed_writer_leaves_nothing_that_loads(tmp_path):
    script = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from cache_fixtures import cache_info, random_activations
        from visae.activations.shards import ShardWriter
        with ShardWriter(Path(sys.argv[1]) / "shard.h5", cache_info(), 0, 1, 22) as writer:
            writer.append(random_activations()[:9], [0] * 9, [str(i) for i in range(9)])
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    folders = os.pathsep.join(p for p in sys.path if Path(p).name in ("tests", "workflow_scripts"))
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "PYTHONPATH": folders}
    )
    assert run.returncode == -signal.SIGKILL
    assert not (tmp_path / "shard.h5").exists()


def test_a_write_that_failed_is_told_by_the_next_image(tmp_path):
    """Not only by the next chunk, which may be far."""

    def append_two():
        with ShardWriter(tmp_path / "shard.h5", cache_info(), 0, 1, images=22) as writer:
            writer._writing = Future()
            writer._writing.set_exception(OSError("a disk has failed"))
            for image in random_activations()[:2, None]:
                appended.append(image)
                writer.append(image, [0], ["id"])

    appended = []
    with pytest.raises(OSError, match="a disk has failed"):
        append_two()
    assert len(appended) == 1


def test_another_number_of_shards_than_of_their_sizes_is_refused(tmp_path, monkeypatch):
    """By what the file says: the file is whole, and its writer was wrong."""

    def one_more(file, name, texts, own=hdf5.write_strings):
        own(file, name, [*texts, texts[-1]] if name == "shard_files" else texts)

    monkeypatch.setattr(hdf5, "write_strings", one_more)
    path = write_cache(tmp_path, random_activations())
    with pytest.raises(UserError, match="its images are not those of its shards"):
        ActivationCache(path)
