"""Caches of float16, bfloat16 and float32: what each holds, and that every reader reads it."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from backbone_fixtures import small_spec
from cache_fixtures import cache_info, random_activations, write_cache
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some_arrays
from sae_fixtures import mixture_activations
from sparse_fixtures import CODES
from study_fixtures import demo_config

from visae.activations.cache import ActivationCache
from visae.activations.extraction import ShardJob, extract
from visae.activations.format import CacheInfo, as_read, as_stored
from visae.activations.shards import join_shards
from visae.activations.streaming import StreamedActivations
from visae.activations.tokens import TokenStream
from visae.audit.patch_maps import read_images
from visae.backbones import build_backbone
from visae.backbones.checks import check_backbone
from visae.backbones.geometry import Geometry
from visae.backbones.storage import STORAGES
from visae.base.errors import UserError
from visae.base.sparse_hdf5 import SparseDataset
from visae.encoding.sae_pass import encode_activations
from visae.plan.artefacts import artefacts
from visae.plan.images import Count
from visae.plan.work import stages
from visae.sae.checkpoint import load_sae
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.training import train_and_save
from visae.study.config import load_schema
from visae.study.study import Study

MASSIVE, CHANNEL = 80_000, 3
BEYOND = ("bfloat16", "float32")


def massive_activations(images=22):
    """Activations float32 of which one channel lies around MASSIVE."""
    activations_npd = random_activations(images).astype(np.float32)
    activations_npd[..., CHANNEL] += MASSIVE
    return activations_npd


def rounded(values, storage):
    """`values` as torch rounds them, float32."""
    return torch.from_numpy(values).to(getattr(torch, storage)).float().numpy()


def read_all(cache):
    return np.concatenate([cache.read_chunk(number) for number in range(len(cache.chunks))])


def test_the_schema_knows_them():
    described = load_schema()["$defs"]["backbone"]["properties"]["storage"]
    assert described["enum"] == list(STORAGES)
    for name, storage in STORAGES.items():
        limits = torch.finfo(getattr(torch, name))
        assert storage.largest == limits.max
        assert storage.bytes == limits.bits // 8
        assert storage.bits == 1 - np.log2(limits.eps)


@given(
    some_arrays.arrays(
        np.float32, (2, 3, 4), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    )
)
@pytest.mark.parametrize("storage", STORAGES)
def test_numbers_are_rounded_as_torch_rounds_them(storage, values):
    info, expected = cache_info(storage=storage, width=4), rounded(values, storage)
    if np.isfinite(expected).all():
        stored = as_stored(values, info, ["a", "b"])
        assert stored.dtype == info.stored_dtype
        np.testing.assert_array_equal(as_read(stored, info), expected)
    else:
        with pytest.raises(UserError, match="too large"):
            as_stored(values, info, ["a", "b"])


@pytest.mark.parametrize("storage", BEYOND)
def test_a_channel_of_80000_is_stored_and_read_everywhere(tmp_path, storage):
    given = massive_activations()
    path = write_cache(tmp_path, given, shards=3, storage=storage)
    expected = rounded(given, storage)
    with ActivationCache(path) as cache:
        assert (cache.info.storage, cache.info.dtype) == (storage, np.float32)
        np.testing.assert_array_equal(read_all(cache), expected)
        for number, activations_pd in read_images(cache, [9, 2]):
            np.testing.assert_array_equal(activations_pd, expected[number])
        tokens = expected.reshape(-1, 5).astype(np.float64)
        np.testing.assert_allclose(cache.mean, tokens.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(cache.std, np.sqrt(tokens.var(axis=0).mean()), rtol=1e-12)
        streamed = torch.cat(list(TokenStream(cache, 50, seed=1, window_images=8).batches()))
        assert streamed.dtype == torch.float32
        order = np.lexsort(streamed.numpy().T)
        np.testing.assert_array_equal(
            streamed.numpy()[order], expected.reshape(-1, 5)[np.lexsort(expected.reshape(-1, 5).T)]
        )


def test_bfloat16_lies_as_its_bits_which_shifted_are_float32(tmp_path):
    given = massive_activations()
    with h5py.File(write_cache(tmp_path, given, storage="bfloat16")) as file:
        assert (file["activations"].dtype, file.attrs["storage"]) == (np.uint16, b"bfloat16")
        bits = file["activations"][:].astype(np.uint32) << 16
    np.testing.assert_array_equal(bits.view(np.float32), rounded(given, "bfloat16"))


@pytest.mark.parametrize("storage", STORAGES)
def test_what_is_read_is_written_where_it_is_asked_for(storage):
    info = cache_info(storage=storage)
    numbers_npd = random_activations(3).astype(np.float32)
    stored_npd = as_stored(numbers_npd, info, ["a", "b", "c"])
    out_npd = np.zeros_like(numbers_npd)
    assert as_read(stored_npd, info, out_npd) is out_npd
    np.testing.assert_array_equal(out_npd, as_read(stored_npd, info))
    assert out_npd.any()
    assert as_stored(numbers_npd[:0], info, []).shape == numbers_npd[:0].shape


def test_a_flipped_byte_of_any_storage_is_caught(tmp_path):
    for storage in STORAGES:
        path = write_cache(tmp_path / storage, random_activations(), storage=storage)
        [shard] = (path.parent / "train").glob("*.h5")
        with h5py.File(shard, "r+") as file:
            file["activations"][0, 0, 0] = file["activations"][0, 0, 1]
        with ActivationCache(path) as cache, pytest.raises(UserError, match="CRC-32"):
            cache.read_chunk(0)


def test_what_float16_holds_gives_the_same_bits_in_float32(tmp_path):
    """Statistics, SAEs and reductions: no reader depends on what the numbers were stored in."""
    parts = {}
    for storage in ("float16", "float32"):
        folder = tmp_path / storage
        activations = mixture_activations(40, 12, seed=0).astype(np.float16)
        path = write_cache(folder, activations, shards=2, storage=storage)
        spec = SaeSpec("batchtopk", 4, 3)
        with ActivationCache(path) as cache:
            settings = TrainingSettings(batch_size=50, learning_rate=0.02)
            train_and_save([spec], cache, cache, folder, settings, "cpu")
            model = load_sae(folder / spec.name).model
            output = {"a": folder / "a.h5"}
            encode_activations(cache, {"a": model}, output, sae_fingerprints={"a": "0"})
            statistics = cache.mean.tolist(), cache.std
        with h5py.File(output["a"]) as file:
            codes = SparseDataset(file, "codes_max", CODES)[:], file["squared_error"][()]
        parts[storage] = statistics, model, codes
    (one, first, codes), (two, second, others) = parts.values()
    assert one == two
    assert torch.equal(first.encoder_weight, second.encoder_weight)
    np.testing.assert_array_equal(codes[0], others[0])
    assert codes[1] == others[1]


def test_codes_of_bfloat16_are_those_of_float32_within_its_rounding(tmp_path):
    given, means = massive_activations(), {}
    given[..., 0] *= 1000  # so that the spread is not that of the rounding
    for storage in BEYOND:
        with ActivationCache(write_cache(tmp_path / storage, given, storage=storage)) as cache:
            means[storage] = cache.mean, cache.std
            tolerance = np.abs(given) * 2.0**-8 if storage == "bfloat16" else 0
            assert (np.abs(read_all(cache) - given) <= tolerance).all()
    np.testing.assert_allclose(*(mean for mean, _ in means.values()), rtol=2.0**-8)
    np.testing.assert_allclose(*(std for _, std in means.values()), rtol=2.0**-8)


@pytest.mark.parametrize(
    ("storage", "value", "cure"),
    [
        ("float16", -80_000, r"to bfloat16 \(2 bytes.*\) or float32 \(4 bytes"),
        ("bfloat16", 3.4e38, r"to float32 \(4 bytes a number, 24 significant bits\), or `b"),
    ],
)
def test_what_is_too_large_is_named_with_the_storage_that_holds_it(tmp_path, storage, value, cure):
    given = random_activations().astype(np.float32)
    given[9, 2, 1] = value
    found = r"gives -?[\d,]+ in channel 1 at block 3 for image 'image-000009' .*\(1 of 5 channels"
    with pytest.raises(UserError, match=f"{found}.*caches store {storage}.*{cure}"):
        write_cache(tmp_path, given, storage=storage)


def test_a_file_of_an_unknown_storage_is_refused():
    attributes = cache_info().attributes()
    assert CacheInfo.from_attributes(attributes) == cache_info()
    with pytest.raises(UserError, match=r"'float8', which this version does not read \(float16"):
        CacheInfo.from_attributes(attributes | {"storage": "float8"})


# ---------------------------------------------------------------- backbones


def with_channel(storage, offset, scale=1.0):
    """A small backbone whose last block scales its tokens; one channel, three times as much."""
    backbone = build_backbone(small_spec("timm", storage=storage))

    def shift(_module, _arguments, output):
        output = output * scale
        output[..., CHANNEL] = 3 * output[..., CHANNEL] + offset
        return output

    backbone.blocks[2].register_forward_hook(shift)
    return backbone


def test_the_check_finds_a_massive_channel_before_any_image_is_read():
    with pytest.raises(
        UserError,
        match=rf"gives 80,\d+ in channel {CHANNEL} at block 2.*\(1 of 32 "
        r"channels.*store float16.*storage` to bfloat16",
    ):
        check_backbone(with_channel("float16", MASSIVE), 2)
    check_backbone(with_channel("float32", MASSIVE), 2)


@pytest.mark.parametrize(
    ("storage", "offset", "scale"),
    [("float16", 60_000, 1), ("bfloat16", 80_000, 1), ("float16", 0, 1e-7)],
)
def test_the_check_finds_what_rounding_takes_away(storage, offset, scale):
    where = rf"loses \d.*% of its variance at block 2 where {storage} rounds it"
    with pytest.raises(UserError, match=rf"{where}.*storage` to float32"):
        check_backbone(with_channel(storage, offset, scale), 2)
    check_backbone(with_channel("float32", offset, scale), 2)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """(folder, index) of four pictures."""
    from PIL import Image

    from visae.images.index import ClassRecord, ImageRecord, build_index

    root, records = tmp_path_factory.mktemp("pictures"), []
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
        records.append(ImageRecord(f"id-{number}", f"{number}.png", 0, "c"))
    return root, build_index(records, [ClassRecord(0, "c")], root)


@pytest.mark.parametrize("storage", BEYOND)
def test_streams_and_caches_are_one(pictures, tmp_path, storage):
    root, index = pictures
    backbone = with_channel(storage, MASSIVE)
    job = ShardJob("toy", "val", index, root, 0, 1, {2: tmp_path / "val" / "0.h5"})
    extract(backbone, [job], chunk_images=3, batch_size=2)
    join_shards([job.outputs[2]], tmp_path / "val.h5", statistics=False)
    stream = StreamedActivations(backbone, 2, "toy", "val", index, root, 3, 2)
    with ActivationCache(tmp_path / "val.h5") as cache:
        np.testing.assert_array_equal(read_all(stream), read_all(cache))
        assert read_all(cache)[..., CHANNEL].min() > 65_504
        assert stream.fingerprint == cache.fingerprint


def test_storage_is_refused_by_name_and_changes_no_weights():
    with pytest.raises(UserError, match="storage 'float8', which does not exist"):
        build_backbone(small_spec("timm", storage="float8"))
    one, other = (build_backbone(small_spec("timm", storage=name)) for name in BEYOND)
    assert one.weights_fingerprint == other.weights_fingerprint
    assert replace(one.spec, storage="float32") == other.spec


# ---------------------------------------------------------------- the plan


def test_the_plan_counts_the_bytes_of_each_backbone():
    sizes, read = {}, {}
    for storage in STORAGES:
        config = demo_config()
        for name in ("mae_small", "mae_permuted"):  # A control has its twin's storage.
            config["backbones"][name]["storage"] = storage
        study = Study(config)
        assert study.backbone_settings("mae_small")["storage"] == storage
        geometries = {name: Geometry(49, 96, (1,) * 4) for name in study.backbones}
        counts = {split.name: Count(6400, 2, "index") for split in study.splits()}
        counts |= {s.name: Count(6400, 2, "index") for s in study.encoded_splits()}
        files = artefacts(study, geometries, counts)
        shards = [f for f in files if f.stage == "extract"]
        sizes[storage] = {
            name: sum(f.size for f in shards if f.backbone == name)
            for name in ("mae_small", "clip_small")
        }
        rows = stages(study, geometries, counts)
        read[storage] = sum(row.read for row in rows if row.backbone == "mae_small")
    assert sizes["bfloat16"] == sizes["float16"]
    assert read["float32"] == 2 * read["bfloat16"] == 2 * read["float16"] > 0
    splits = len({f.work for f in shards if f.backbone == "mae_small"})
    more = sizes["float32"]["mae_small"] - sizes["float16"]["mae_small"]
    assert more == splits * 6400 * 49 * 96 * 2
    assert sizes["float32"]["clip_small"] == sizes["float16"]["clip_small"]
