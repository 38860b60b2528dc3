"""Where a rule of activations begins to hold: statistics, seeds, chunks, the ends of a stream."""

import inspect
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from cache_fixtures import cache_info, random_activations, write_cache

from visae.activations import streaming
from visae.activations.cache import ActivationCache
from visae.activations.computed import ComputedCache
from visae.activations.extraction import extract
from visae.activations.format import CacheInfo, as_stored
from visae.activations.normalisation import check_statistics, statistics_of
from visae.activations.permuted import PermutedCache, write_permuted
from visae.activations.shards import ShardWriter, _write_joined, join_shards, shard_bounds
from visae.activations.source import Activations
from visae.activations.streaming import StreamedActivations
from visae.activations.tokens import TokenStream
from visae.base.errors import UserError
from visae.base.seals import recorded


class Given(Activations):
    """Stands for a cache of width 3 with some statistics."""

    path = "the cache"

    def __init__(self, mean=None, std=None):
        self.info, self.mean, self.std = cache_info(width=3), mean, std


MEAN = np.array([1.0, 2.0, 3.0])
PAIRS = [("size", 64), ("mode", "crop")]


@pytest.mark.parametrize(("mean", "std"), [(None, None), (MEAN, None), (None, 2.0)])
def test_statistics_are_a_mean_and_a_standard_deviation(mean, std):
    with pytest.raises(UserError, match=r"^the cache has no statistics"):
        statistics_of(Given(mean, std))
    assert statistics_of(Given(MEAN, 2.0)) == (MEAN, 2.0)
    check_statistics("it", MEAN, 2.0, Given(mean, std))  # normalised by those of another


@pytest.mark.parametrize(
    ("mean", "std", "fits"),
    [
        (MEAN, 2.0, True), (MEAN[:2], 2.0, False), (MEAN[None], 2.0, False), (MEAN, 0.0, False),
        (MEAN, -2.0, False), (MEAN, np.inf, False), (MEAN, np.nan, False),
        (MEAN * [1, np.nan, 1], 2.0, False), (MEAN * [1, 1, np.inf], 2.0, False),
    ],
)  # fmt: skip
def test_what_cannot_normalise_is_refused(mean, std, fits):
    for given in (Given(), Given(MEAN, 2.0)):
        if fits:
            check_statistics("it", mean, std, given)
            continue
        with pytest.raises(UserError, match=r"statistics of it .* cannot normalise .* width 3 in"):
            check_statistics("it", mean, std, given)


@pytest.mark.parametrize(("mean", "std"), [(MEAN + 1, 2.0), (MEAN, 2.1), (MEAN * [1, 1, 2], 2.0)])
def test_other_statistics_than_those_of_a_cache_are_refused(mean, std):
    with pytest.raises(UserError, match=r"^the activation statistics of it are not those of the"):
        check_statistics("it", mean, std, Given(MEAN, 2.0))


@pytest.mark.parametrize("seed", [-1, 0])
def test_a_view_has_a_seed_from_0_on(tmp_path, seed):
    cache, view = write_cache(tmp_path, random_activations(5)), tmp_path / "view.h5"
    write_permuted(view, cache, "control", seed)
    if seed < 0:
        with pytest.raises(UserError, match="its seed is -1"):
            PermutedCache(view)
        return
    with PermutedCache(view) as opened:
        assert opened.seed == seed


@pytest.mark.parametrize("more", ["_crc", "_means", "_squares"])
def test_a_shard_has_a_checksum_and_moments_of_every_chunk(tmp_path, more):
    info = cache_info()
    path = tmp_path / "shard-00000-of-00001.h5"
    with ShardWriter(path, info, 0, 1, 6) as writer:
        writer.append(random_activations(6), np.zeros(6, int), [f"i{row}" for row in range(6)])
        writer._writing.result()
        value = 0 if more == "_crc" else np.zeros(5)
        getattr(writer, more).append(value)
    with pytest.raises(UserError, match="shard-00000"):
        join_shards([path], tmp_path / "cache.h5", statistics=True)


@pytest.mark.parametrize(
    ("images", "shards", "bounds"),
    [
        (9, 1, [(0, 9)]), (9, 2, [(0, 4), (4, 9)]), (9, 3, [(0, 4), (4, 8), (8, 9)]),
        (8, 2, [(0, 4), (4, 8)]), (9, 4, None), (1, 1, [(0, 1)]), (0, 1, None),
    ],
)  # fmt: skip
def test_shards_are_whole_chunks_of_four(images, shards, bounds):
    if bounds:
        assert shard_bounds(images, shards, 4) == bounds
        return
    most = max(-(-images // 4), 1)
    with pytest.raises(UserError, match=f"`shards` of this split to at most {most} in"):
        shard_bounds(images, shards, 4)


@pytest.mark.parametrize("skipped", [0, 1])
@pytest.mark.parametrize("written", [3, 4, 5])
def test_a_shard_has_all_of_its_images_or_says_which_not(tmp_path, skipped, written):
    path, info = tmp_path / "shard.h5", cache_info()

    def write():
        with ShardWriter(path, info, 0, 1, 5) as writer:
            ids = [f"i{row}" for row in range(written)]
            writer.append(random_activations(written), np.zeros(written, int), ids)
            for _ in range(skipped):
                writer.skip("gone")

    if written + skipped == 5:
        write()
    else:
        said = f"{written} images written and {skipped} skipped of 5"
        with pytest.raises(RuntimeError, match=said):
            write()
    assert path.exists() == (written + skipped == 5)


@pytest.mark.parametrize("ragged", [None, 8])
@pytest.mark.parametrize("batch_size", [7, 12, 96])
def test_a_stream_that_is_asked_for_its_end_gives_nothing(tmp_path, ragged, batch_size):
    with ActivationCache(write_cache(tmp_path, random_activations(20))) as cache:
        stream = TokenStream(cache, batch_size, 0, window_images=8, ragged_images=ragged)
        batches = list(stream.batches())
        assert len(batches) == len(stream)
        assert sum(map(len, batches)) == cache.tokens == 240
        assert list(stream.batches(start=len(stream))) == []
        last = list(stream.batches(start=len(stream) - 1))
        assert [batch.tolist() for batch in last] == [batches[-1].tolist()]
        seen = np.cumsum([0, *map(len, batches)])
        assert [stream.tokens_after(step) for step in range(len(stream))] == seen[:-1].tolist()
        assert stream.tokens_after(2 * len(stream) + 1) == 2 * 240 + seen[1]


@pytest.mark.parametrize(("window", "chunks"), [(1, 1), (4, 1), (7, 1), (8, 2)])
def test_a_window_is_of_whole_chunks_and_one_at_least(tmp_path, window, chunks):
    with ActivationCache(write_cache(tmp_path, random_activations(20))) as cache:
        stream = TokenStream(cache, 12, 0, window_images=window)
        assert max(len(numbers) for numbers, _ in stream._windows(0)) == chunks


@pytest.mark.parametrize(("unit", "sizes"), [(1, [1] * 6), (4, [4, 2]), (5, [5, 1]), (6, [6]),
                                             (7, [6])])  # fmt: skip
def test_units_are_counted_whatever_the_chunks(tmp_path, unit, sizes):
    given = random_activations(6)
    with ActivationCache(write_cache(tmp_path, given)) as cache:
        units = list(cache.image_units(unit))
    assert [len(each) for each in units] == sizes
    np.testing.assert_array_equal(np.concatenate(units), given)


def test_streams_are_of_one_checked_backbone_and_say_what_they_are_made_of(monkeypatch):
    calls = []

    def noted(name):
        return lambda *arguments, **settings: calls.append((name, arguments, settings)) or name

    backbone = SimpleNamespace(to=noted("to"))
    monkeypatch.setattr(streaming, "build_backbone", lambda spec: backbone)
    for name in ("check_backbone", "read_index"):
        monkeypatch.setattr(streaming, name, noted(name))
    opens = noted("StreamedActivations")
    monkeypatch.setattr(
        streaming, "StreamedActivations", lambda *given, **said: nullcontext(opens(*given, **said))
    )
    settings = {"precision": "float16", "chunk_images": 8, "batch_size": 4}
    splits = {"a/train": ("root", "train.csv", "classes.csv"), "b/val": ("other", "v", "c")}
    opened = inspect.unwrap(streaming.open_streams)(
        SimpleNamespace(weights="weights"), 5, splits, "cpu", 3, settings
    )
    assert [name for name, _ in opened] == list(splits)
    assert calls[:2] == [("to", ("cpu",), {}), ("check_backbone", (backbone, 5, "float16"), {})]
    assert calls[2:] == [
        each
        for name, (root, *files) in splits.items()
        for each in (
            ("read_index", tuple(files), {}),
            (
                "StreamedActivations",
                (backbone, 5, *name.split("/"), "read_index", root),
                {"workers": 3, "files": (*files, "weights"), **settings},
            ),
        )
    ]


def test_the_order_in_which_preprocessing_was_written_is_not_kept():
    one, other = (cache_info(preprocessing=dict(pairs)) for pairs in (PAIRS, PAIRS[::-1]))
    assert one.attributes()["preprocessing"] == other.attributes()["preprocessing"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({(1, 2, 3): np.nan}, "NaN or infinity in channel 3 .* image 'b'"),
        ({(0, 1, 2): -np.inf, (1, 0, 0): np.nan}, "NaN or infinity in channel 2 .* image 'a'"),
        ({(1, 2, 0): 80000, (1, 0, 3): -70000}, "80,000 in channel 0 .* image 'b' .*2 of 4"),
        ({(1, 2, 0): 70000, (1, 0, 3): -80000}, "-80,000 in channel 3 .* image 'b' .*2 of 4"),
        ({(1, 2, 1): 70000, (1, 1, 1): 70001}, "70,001 in channel 1 .* image 'b' .*1 of 4"),
        ({(1, 2, 1): 70000, (0, 1, 2): np.nan}, "NaN or infinity in channel 2 .* image 'a'"),
    ],
)
def test_the_value_that_cannot_be_stored_is_named_wherever_it_lies(values, said):
    """The first image that has one; there, NaN and infinity before what is largest."""
    given = np.ones((2, 3, 4), np.float32)
    assert (as_stored(given, cache_info(width=4), ["a", "b"]) == 1).all()
    for place, value in values.items():
        given[place] = value
    with pytest.raises(UserError, match=said):
        as_stored(given, cache_info(width=4), ["a", "b"])


def test_a_cache_is_made_of_what_its_shards_were_made_of(tmp_path):
    """Of shards themselves the checksums tell, and of SAEs there are none."""
    path = tmp_path / "cache.h5"
    arrays = {"crc32": np.zeros(1, np.uint32), "labels": np.zeros(4, np.int64)}
    ids = {"image_ids": list("abcd"), "skipped_ids": []}
    origin = {f"{root}/x": root for root in ("index", "pretraining", "activations", "saes")}
    _write_joined(path, cache_info(), [(tmp_path / "shard.h5", 4)], arrays, ids, False, origin)
    assert recorded(path)["made_of"] == {"index/x": "index", "pretraining/x": "pretraining"}


SCHEMA = Path(__file__).parents[2] / "rules/schemas/config.schema.yaml"


@pytest.mark.parametrize(
    "function", [extract, ComputedCache, StreamedActivations, CacheInfo, TokenStream]
)
def test_where_a_call_says_nothing_all_is_as_where_a_config_does(function):
    properties = yaml.safe_load(SCHEMA.read_text("utf-8"))["properties"]
    known = {
        **properties["extraction"]["properties"],
        "window_images": properties["training"]["properties"]["window_images"],
        "on_bad_image": properties["on_bad_image"],
    }
    parameters = inspect.signature(inspect.unwrap(function)).parameters.values()
    found = {each.name: each.default for each in parameters if each.default is not each.empty}
    shared = found.keys() & known.keys()
    assert shared
    assert {name: found[name] for name in shared} == {
        name: known[name]["default"] for name in shared
    }
