"""Extraction of small data sets with a small backbone, against one image at a time."""

import contextlib
import os
import runpy
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from study_fixtures import ROOT

from visae.activations import extraction
from visae.activations.cache import ActivationCache
from visae.activations.extraction import ShardJob, extract, token_batches
from visae.activations.shards import join_shards
from visae.backbones import BackboneSpec, build_backbone, checks
from visae.backbones.backbone import autocast, forward_noise
from visae.backbones.checks import check_backbone
from visae.backbones.order import patch_order
from visae.base.errors import UserError
from visae.base.paths import Paths, place
from visae.images.decoding import load_image
from visae.images.index import (
    ClassRecord,
    ImageIndex,
    ImageRecord,
    build_index,
    shuffled,
    write_classes,
    write_images,
)
from visae.images.layouts import index_images
from visae.images.rows import open_index
from visae.sae.describe import describe_data

SPEC = BackboneSpec(
    name="tiny",
    loader="timm",
    model="deit_tiny_patch16_224.fb_in1k",
    weights="random",
    image_size=32,
    options={"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2},
)
IMAGES = 23


@pytest.fixture(scope="module")
def backbone():
    return build_backbone(SPEC)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A folder of JPEGs of several sizes and their index."""
    root = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    records = []
    for number in range(IMAGES):
        size = (40 + number, 60 - number, 3)
        image = Image.fromarray(generator.integers(0, 256, size, dtype=np.uint8))
        image.save(root / f"{number:02d}.jpg")
        label = number % 2
        records.append(ImageRecord(f"id-{number:02d}", f"{number:02d}.jpg", label, f"c{label}"))
    return root, build_index(records, [ClassRecord(0, "c0"), ClassRecord(1, "c1")], root)


def extracted(backbone, dataset, folder, shards=1, layer=1, **settings):
    """Extract all shards and join them; the open cache."""
    root, index = dataset
    jobs = [
        ShardJob("toy", "train", index, root, n, shards, {layer: folder / f"train/shard-{n}.h5"})
        for n in range(shards)
    ]
    extract(backbone, jobs, **({"chunk_images": 4, "batch_size": 5} | settings))
    join_shards([job.outputs[layer] for job in jobs], folder / "train.h5", statistics=False)
    return ActivationCache(folder / "train.h5")


def activations(cache):
    return np.concatenate([cache.read_chunk(number) for number in range(len(cache.chunks))])


@pytest.mark.parametrize("workers", [0, 1])
def test_pixels_that_are_not_rounded(dataset, workers, tmp_path):
    spec = replace(SPEC, preprocessing={"resampling": "torch_floats"}, storage="float32")
    exact = build_backbone(spec)
    root, index = dataset
    images = torch.stack([exact.preprocess(load_image(root / r.path)) for r in index.images])
    with extracted(exact, dataset, tmp_path, workers=workers) as cache:
        found = torch.from_numpy(activations(cache))
        assert cache.info.preprocessing["resampling"] == "torch_floats"
    torch.testing.assert_close(found, exact.patch_tokens(images, 1), rtol=1e-4, atol=1e-5)
    rounded = build_backbone(SPEC)
    with extracted(rounded, dataset, tmp_path / "rounded", workers=workers) as cache:
        assert (torch.from_numpy(activations(cache)) - found).abs().max() > 1e-4


def expected_activations(backbone, dataset, layer=1):
    """One image at a time through the library's own transform-free path."""
    root, index = dataset
    images = torch.stack([backbone.preprocess(load_image(root / r.path)) for r in index.images])
    return torch.cat([backbone.patch_tokens(image[None], layer) for image in images]).numpy()


@pytest.mark.parametrize("workers, shards, layer", [(0, 1, 0), (0, 3, 1), (2, 2, 1)])
def test_every_image_lies_at_its_place(backbone, dataset, tmp_path, workers, shards, layer):
    with extracted(backbone, dataset, tmp_path, shards, layer, workers=workers) as cache:
        expected = expected_activations(backbone, dataset, layer)
        np.testing.assert_allclose(activations(cache), expected, rtol=2e-3, atol=2e-3)
        assert cache.image_ids == [record.image_id for record in dataset[1].images]
        assert cache.labels.tolist() == [record.label for record in dataset[1].images]
        assert cache.skipped_ids == []
        info = cache.info
    assert (info.backbone, info.model, info.layer) == ("tiny", SPEC.model, layer)
    assert (info.grid, info.width, info.token_order) == ((4, 4), 16, "raster")
    assert info.index_fingerprint == dataset[1].fingerprint()
    assert info.weights_fingerprint == backbone.weights_fingerprint
    assert info.preprocessing == backbone.preprocessing


def test_the_same_shard_holds_the_same_bytes(backbone, dataset, tmp_path):
    fingerprints = set()
    for run, workers in (("first", 0), ("second", 2)):
        with extracted(backbone, dataset, tmp_path / run, 2, workers=workers) as cache:
            fingerprints.add(cache.fingerprint)
    assert len(fingerprints) == 1


@pytest.mark.parametrize("storage", ["float16", "bfloat16", "float32"])
def test_a_shard_is_the_same_file_whoever_decodes(dataset, tmp_path, storage, monkeypatch):
    """Threads on the CPU; beside a GPU it would be processes."""
    backbone, (root, index) = build_backbone(replace(SPEC, storage=storage)), dataset
    path, found = tmp_path / "shard.h5", {}
    for workers, by in ((0, "threads"), (2, "threads"), (2, "processes")):
        with monkeypatch.context() as patched:
            if by == "processes":
                patched.setattr(extraction, "_by_threads", extraction._by_processes)
            else:
                patched.setattr(os, "fork", None)
            extract(
                backbone, [ShardJob("toy", "train", index, root, 0, 1, {1: path})], 4, 5, workers
            )
        found[workers, by] = path.read_bytes()
    assert len(set(found.values())) == 1


@pytest.mark.parametrize("resampling", ["pillow", "torch_bytes", "torch_floats"])
def test_threads_and_processes_decode_the_same_pixels_in_order(backbone, damaged, resampling):
    root, index = damaged
    transform = replace(backbone.transform, resampling=resampling)
    batches = [index.images[first : first + 5] for first in range(0, IMAGES, 5)]
    items = extraction._DecodedBatches(batches, root, transform)
    alone = [items[number] for number in range(len(items))]
    assert sum(len(failures) for _, failures in alone) == 7
    for make, workers in ((extraction._by_threads, 3), (extraction._by_processes, 2)):
        ahead = list(make(items, workers))
        assert [failures for _, failures in ahead] == [failures for _, failures in alone]
        for (pixels, _), (expected, _) in zip(ahead, alone, strict=True):
            if expected is None:  # no image of the batch can be read
                assert pixels is None
                continue
            assert pixels.dtype == expected.dtype
            assert torch.equal(pixels, expected)


def test_torch_has_one_core_where_it_decodes_and_all_of_them_elsewhere():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with extraction.decoders(2) as pool:
            found = list(pool.map(torch.get_num_threads, [()] * 6))
        here = torch.get_num_threads()
        with extraction.Threads(1) as pool:
            beside = pool.submit(torch.get_num_threads).result()
    finally:
        torch.set_num_threads(before)
    assert (found, here, beside) == ([1] * 6, 3, 3)


def test_several_blocks_of_one_pass_are_as_if_extracted_alone(backbone, damaged, tmp_path):
    """Also where images are skipped; the network sees each image once."""
    root, index = damaged
    passes = []
    hook = backbone.blocks[0].register_forward_hook(lambda _, given, __: passes.append(given[0]))
    paths = {layer: tmp_path / f"layer{layer}" / "shard.h5" for layer in (0, 1)}
    job = ShardJob("toy", "train", index, root, 0, 1, paths)
    extract(backbone, [job], chunk_images=4, batch_size=5, on_bad_image="skip")
    hook.remove()
    assert sum(map(len, passes)) == IMAGES - 7
    for layer, path in paths.items():
        join_shards([path], path.parent / "train.h5", statistics=True)
        with (
            ActivationCache(path.parent / "train.h5") as together,
            extracted(
                backbone, damaged, tmp_path / f"alone{layer}", layer=layer, on_bad_image="skip"
            ) as alone,
        ):
            assert together.info == alone.info
            assert together.skipped_ids == alone.skipped_ids
            assert together.fingerprint == alone.fingerprint


def test_permuted_order_is_the_raster_order_shuffled(backbone, dataset, tmp_path):
    permuted = build_backbone(BackboneSpec(**vars(SPEC) | {"token_order": "permuted", "seed": 0}))
    with (
        extracted(backbone, dataset, tmp_path / "raster") as raster,
        extracted(permuted, dataset, tmp_path / "permuted", shards=3, batch_size=2) as shuffled,
    ):
        assert shuffled.info.token_order == "permuted"
        raster_npd, shuffled_npd = activations(raster), activations(shuffled)
        for row, image_id in enumerate(raster.image_ids):
            order = patch_order(16, image_id, seed=0)
            np.testing.assert_allclose(shuffled_npd[row], raster_npd[row, order], atol=2e-3)


def test_the_forward_order_does_not_depend_on_batch_or_shard(dataset, tmp_path):
    spec = BackboneSpec(
        "mae", "transformers", "vit_mae", weights="random", image_size=32, token_order="forward",
        options={"patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2,
                 "num_attention_heads": 2, "intermediate_size": 32},
    )  # fmt: skip
    own, raster = build_backbone(spec), build_backbone(replace(spec, token_order="raster"))
    with (
        extracted(raster, dataset, tmp_path / "raster") as plain,
        extracted(own, dataset, tmp_path / "one") as one,
        extracted(own, dataset, tmp_path / "other", shards=3, batch_size=2) as other,
    ):
        assert one.info.token_order == "forward"
        plain_npd, one_npd = activations(plain), activations(one)
        np.testing.assert_allclose(activations(other), one_npd, atol=2e-3)
        for row, image_id in enumerate(one.image_ids):
            order = forward_noise(16, [image_id], spec.seed)[0].argsort().numpy()
            np.testing.assert_allclose(one_npd[row], plain_npd[row, order], atol=2e-3)


@pytest.fixture
def damaged(dataset, tmp_path):
    """The data set with a truncated, an empty and a missing image, the first batch all bad."""
    root, index = dataset
    copy = tmp_path / "damaged"
    copy.mkdir()
    for record in index.images:
        (copy / record.path).write_bytes((root / record.path).read_bytes())
    whole = (copy / "07.jpg").read_bytes()
    (copy / "07.jpg").write_bytes(whole[: len(whole) // 2])
    (copy / "22.jpg").write_bytes(b"")
    for number in range(5):
        (copy / f"{number:02d}.jpg").unlink()
    return copy, index


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_images_are_skipped_and_recorded(backbone, dataset, damaged, tmp_path, workers):
    bad = [f"id-{number:02d}" for number in (*range(5), 7, 22)]
    settings = {"on_bad_image": "skip", "workers": workers}
    with extracted(backbone, damaged, tmp_path / "out", 2, **settings) as cache:
        assert cache.skipped_ids == bad
        good = [n for n in range(IMAGES) if f"id-{n:02d}" not in bad]
        assert cache.image_ids == [f"id-{number:02d}" for number in good]
        expected = expected_activations(backbone, dataset)[good]
        np.testing.assert_allclose(activations(cache), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named_and_leaves_nothing(backbone, damaged, tmp_path, workers):
    before = threading.enumerate()  # those of other tests among them
    with pytest.raises(UserError, match=r"00\.jpg"):
        extracted(backbone, damaged, tmp_path / "out", workers=workers)
    started = set(threading.enumerate()) - set(before)
    assert [each.name for each in started if each.name.startswith("pool")] == []
    assert list((tmp_path / "out" / "train").iterdir()) == []


def test_a_missing_layer_is_refused(backbone, dataset, tmp_path):
    with pytest.raises(UserError, match="no block 7"):
        extracted(backbone, dataset, tmp_path, layer=7)
    assert list((tmp_path / "train").iterdir()) == []


@pytest.mark.parametrize(
    "value, message",
    [
        (
            80_000,
            r"gives (79,99\d|80,00\d) in channel 5 at block 1 for image 'id-00' .*1 of 16 .*65,504",
        ),
        (-80_000, r"gives -(79,99\d|80,00\d) in channel 5 .*`backbones\.tiny\.layer` to a block"),
        (torch.inf, r"NaN or infinity in channel 5 at block 1 for image 'id-00' of toy/train"),
        (torch.nan, r"NaN or infinity in channel 5 "),
    ],
)
def test_activations_beyond_float16_are_named(value, message, dataset, tmp_path):
    backbone = build_backbone(SPEC)
    with torch.no_grad():
        backbone.model.blocks[1].mlp.fc2.bias[5] = value
    with pytest.raises(UserError, match=message):
        extracted(backbone, dataset, tmp_path)


def test_a_channel_within_float16_is_stored(dataset, tmp_path):
    backbone = build_backbone(SPEC)
    with torch.no_grad():
        backbone.model.blocks[1].mlp.fc2.bias[5] = 65_000
    cache = extracted(backbone, dataset, tmp_path)
    assert (np.abs(activations(cache)[:, :, 5].astype(float) - 65_000) < 100).all()


def test_how_weights_were_read_is_kept_and_changes_no_fingerprint(backbone, dataset, tmp_path):
    plain = extracted(backbone, dataset, tmp_path / "plain")
    backbone.weights_reading = "names without `teacher.`"
    try:
        renamed = extracted(backbone, dataset, tmp_path / "renamed")
    finally:
        backbone.weights_reading = ""
    assert (plain.info.weights_reading, renamed.info.weights_reading) == (
        "",
        "names without `teacher.`",
    )
    assert renamed.fingerprint == plain.fingerprint
    assert describe_data(renamed, renamed)["weights_reading"] == renamed.info.weights_reading
    assert "weights_reading" not in describe_data(plain, plain)


@pytest.mark.parametrize("workers", [0, 2])
def test_equal_pictures_have_equal_activations_in_every_container(backbone, tmp_path, workers):
    """The same five pictures as files, and as real libraries wrote them (tests/images/written)."""
    written = Path(__file__).parents[1] / "images" / "written"
    for label, name in enumerate("abc"):
        (tmp_path / "files/train" / name).mkdir(parents=True)
        for number in range(label, 5, 3):
            colour = (number, 2 * number, 255 - number)
            path = tmp_path / f"files/train/{name}/{number}.png"
            Image.fromarray(np.full((3, 4, 3), colour, np.uint8)).save(path)
    places = {"files": ("imagenet", tmp_path / "files")} | {
        folder: ("webdataset" if folder == "webdataset" else "huggingface", written / folder)
        for folder in ("saved", "hub", "cache", "webdataset")
    }
    found = {}
    for folder, (layout, root) in places.items():
        index = index_images(layout, root, "train")
        with extracted(backbone, (root, index), tmp_path / folder, workers=workers) as cache:
            order = np.argsort(
                [load_image(root / r.path).getpixel((0, 0))[0] for r in index.images]
            )
            found[folder] = activations(cache)[order], cache.labels[order]
            assert cache.image_ids == [record.image_id for record in index.images]
    tokens, labels = found.pop("files")
    assert labels.tolist() == [0, 1, 2, 0, 1]
    assert np.abs(tokens[0] - tokens[4]).max() > 0.01
    for folder, (others, other_labels) in found.items():
        np.testing.assert_array_equal(others, tokens, err_msg=folder)
        assert (other_labels == labels).all()


def test_a_shard_of_an_opened_index_is_that_of_the_whole_one(backbone, dataset, tmp_path):
    root, index = dataset
    write_images(tmp_path / "train.csv", index)
    write_classes(tmp_path / "classes.csv", index)
    caches = []
    for name, given in (
        ("whole", shuffled(index, 3)),
        ("opened", open_index(tmp_path / "train.csv", tmp_path / "classes.csv", order_seed=3)),
    ):
        with extracted(backbone, (root, given), tmp_path / name, shards=2) as cache:
            caches.append((cache.fingerprint, cache.image_ids, activations(cache).tobytes()))
    assert caches[0] == caches[1]


def test_a_batch_of_which_no_image_can_be_read_has_no_tokens(backbone, damaged):
    root, index = damaged
    batches = token_batches(
        backbone, [0, 1], index.images[:10], root, 5, 0, on_bad_image="skip", precision="float32"
    )
    (none, nothing, bad), (kept, tokens, _) = batches
    assert (none, bad) == ([], [record.image_id for record in index.images[:5]])
    assert {layer: found.shape for layer, found in nothing.items()} == dict.fromkeys(
        (0, 1), (0, *tokens[0].shape[1:])
    )
    assert [len(found) for found in tokens.values()] == [len(kept)] * 2 == [4, 4]


def test_every_forward_pass_has_the_precision_that_is_asked_for(
    backbone, dataset, tmp_path, monkeypatch
):
    asked = []

    def noted(precision, device):
        asked.append((precision, device))
        return contextlib.nullcontext()

    for module in (extraction, checks):
        monkeypatch.setattr(module, "autocast", noted)
    for precision in ("float32", "float16"):
        asked.clear()
        check_backbone(backbone, 1, precision)
        assert len(asked) > 1
        extracted(backbone, dataset, tmp_path / precision, precision=precision)
        assert set(asked) == {(precision, torch.device("cpu"))}


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_float16_is_of_the_gpu_alone():
    for precision, device in (("float32", "cuda"), ("float32", "cpu"), ("float16", "cpu")):
        assert type(autocast(precision, torch.device(device))) is contextlib.nullcontext
    context = autocast("float16", torch.device("cuda", 0))
    assert (context.device, context.fast_dtype) == ("cuda", torch.float16)


class Wildcards(dict):
    __getattr__ = dict.__getitem__


def test_a_job_writes_the_shards_that_it_is_asked_for(monkeypatch):
    """Of a block that keeps activations, of one that does not, and of one that lacks a split."""
    results, found = Paths("results/x"), []
    for place_of, stub in (
        ("base.job.run", lambda body, snakemake: body(snakemake)),
        ("base.memory.keep_freed", lambda: None),
        ("base.devices.take_device", lambda: "cpu"),
        ("images.rows.open_index", lambda *_: ImageIndex([], ())),
        ("backbones.build_backbone", lambda spec: torch.nn.Module()),
        ("backbones.checks.check_backbone", lambda backbone, layer, _: found.append(layer)),
        ("activations.extraction.extract", lambda backbone, jobs, **_: found.extend(jobs)),
    ):
        monkeypatch.setattr(f"visae.{place_of}", stub)
    job = SimpleNamespace(
        params=SimpleNamespace(
            backbone={"loader": "timm", "model": "x"},
            splits={"a/train": ("of_a", 2, 7), "b/val": ("of_b", 1, None)},
            extraction={"precision": "float32"},
        ),
        wildcards=Wildcards(backbone="tiny"),
        config={"study": "x"},
        threads=1,
    )

    def shard(split, number, count, layer, kept=True):
        return results.shard(split, number, count, place("tiny", layer), kept)

    def asked(*shards):
        """The blocks that are checked, and what is written in which pass."""
        found.clear()
        job.output = SimpleNamespace(shards=shards)
        runpy.run_path(str(ROOT / "workflow_scripts/extract_activations.py"), {"snakemake": job})
        return [
            (f"{one.dataset}/{one.split}", one.shard, one.outputs, [*one.measured])
            if isinstance(one, ShardJob)
            else one
            for one in found
        ]

    measured = [shard("a/train", number, 2, 3, kept=False) for number in range(2)]
    kept = [shard("a/train", number, 2, 11) for number in range(2)]
    other = shard("b/val", 0, 1, 11)
    assert asked(*measured, *kept, other) == [
        *(3, 11),
        *(("a/train", n, {3: measured[n], 11: kept[n]}, [3]) for n in range(2)),
        ("b/val", 0, {11: other}, []),
    ]
    assert asked(*measured) == [3, *(("a/train", n, {3: measured[n]}, [3]) for n in range(2))]
