"""Arrays that no kernel may see are refused when they are read, behind a seal that is valid.

Files are written by the library, and one array of each is replaced before it is sealed again.
"""

import zlib

import h5py
import numpy as np
import pytest
import torch
from cache_fixtures import random_activations, write_cache
from fuzz_kinds import KINDS
from sparse_fixtures import CODES, stored

from visae.activations.cache import ActivationCache
from visae.activations.format import APART
from visae.activations.format import FORMAT as ACTIVATIONS
from visae.activations.shards import join_shards
from visae.audit.values import values_of_features
from visae.base import hdf5, seals
from visae.base.declared import Array
from visae.base.errors import UserError
from visae.base.seals import CHECKSUMS
from visae.base.sparse_hdf5 import SparseDataset
from visae.evals.results import ARRAYS_FORMAT, KIND, read_arrays

BY_NAME = {kind.name: kind for kind in KINDS}


def planted(path, name, change):
    """Replace the array `name` by `change` of it (None: take it away), and seal the file."""
    form = seals.recorded(path)["kind"]
    if path.suffix == ".npz":
        arrays = seals.read_npz(path, form)
        seals.write_npz(path, form, changed(arrays, name, change))
        return
    with h5py.File(path, "r+") as file:
        if isinstance(file[name], h5py.Group):
            array = SparseDataset(file, name, CODES)[:]
            del file[name]
            stored(file, change(array))
            seals.seal_hdf5(file, path, form)
            return
        data = hdf5.dataset(file, name)
        array, chunks = data[()], data.chunks
        checked = isinstance(data, hdf5.CheckedDataset)
        del file[name]
        if checked:
            del file[f"{name}{CHECKSUMS}"]
        if change is not None and checked:
            new = change(array)
            inside = tuple(map(min, chunks or (), new.shape))
            writer = hdf5.Checked(file, name, new.shape, new.dtype, inside)
            writer.write([0] * new.ndim, new)
            writer.finish()
        elif change is not None:
            file.create_dataset(name, data=change(array), chunks=chunks)
        seals.seal_hdf5(file, path, form, apart=APART if form == ACTIVATIONS else ())


def changed(arrays, name, change):
    without = {key: array for key, array in arrays.items() if key != name}
    return without if change is None else without | {name: change(arrays[name])}


def first(value):
    """A function of an array: a copy whose first value is `value`."""

    def change(array):
        new = np.array(array)
        new.reshape(-1)[0] = value
        return new

    return change


FAULTS = (
    *(("reductions", name, first(value)) for name, value in (
        ("top_images", 10**6), ("top_images", -1), ("top_codes", np.nan), ("firing_count", -1),
        ("top_codes", -1),
        ("codes_least", np.inf), ("squared_error", np.nan), ("moran_sum", np.inf),
        ("moran_images", -1), ("labels", -2))),
    ("reductions", "top_images", lambda a: a[:, :-1]),
    ("reductions", "top_codes", lambda a: a.astype(np.float64)),
    ("reductions", "firing_count", lambda a: a[:-1]),
    ("reductions", "moran_images", lambda a: a[:2]),
    ("reductions", "labels", lambda a: a[:-1]),
    ("reductions", "codes_least", None),
    ("reductions", "codes_max", lambda a: a[:-1]),
    ("reductions", "codes_max", lambda a: a[:, :-1]),
    ("reductions", "codes_max", lambda a: a.astype(np.float32)),
    ("reductions", "reconstructions_max", lambda a: a[:-1]),
    *(("reductions", name, first(value)) for name, value in (
        ("codes_max", np.nan), ("codes_max", np.inf), ("codes_max", -1),
        ("reconstructions_max", np.nan), ("reconstructions_max", -np.inf))),
    *(("raw reductions", name, first(value)) for name in ("features_max", "embeddings")
      for value in (np.nan, -np.inf)),
    *(("cache", name, first(value)) for name, value in (
        ("statistics/mean", np.nan), ("statistics/std", np.inf), ("statistics/std", -1),
        ("labels", -2))),
    *(("cache", name, lambda a: a[:-1]) for name in ("labels", "crc32", "statistics/mean")),
    ("cache", "labels", lambda a: a.astype(np.float32)),
    *(("cache", name, None) for name in ("labels", "crc32", "statistics/std")),
    *(("shard", name, first(value)) for name, value in (
        ("labels", -2), ("chunk_mean", np.nan), ("chunk_squares", np.inf),
        ("chunk_squares", -1))),
    *(("shard", name, lambda a: a[:-1])
      for name in ("labels", "crc32", "chunk_mean", "chunk_squares")),
    *(("raw reductions", name, first(value)) for name, value in (
        ("token_mean", np.nan), ("total_squares", np.inf), ("moran_images", -1))),
    ("raw reductions", "token_mean", lambda a: a[:-1]),
    ("raw reductions", "features_max", lambda a: a[:, :-1]),
    ("raw reductions", "embeddings", None),
    *(("rankings", name, first(-1)) for name in (
        "per_class", "classes", "global", "siblings", "sibling_tasks", "global_all_images",
        "siblings_all_images", "sibling_tasks_all_images")),
    ("rankings", "global", lambda a: a[:-1]),
    ("rankings", "per_class", lambda a: a[:-1]),
    ("rankings", "sibling_tasks", lambda a: a[:, :1]),
    ("rankings", "siblings", lambda a: a.astype(np.float32)),
    ("rankings", "siblings_all_images", None),
    ("probe", "coef", first(np.nan)),
    ("probe", "intercept", first(np.inf)),
    ("probe", "intercept", lambda a: a[:-1]),
    ("probe", "classes", lambda a: a[:-1]),
    ("probe", "coef", lambda a: a.T),
    ("probe", "converged", None),
    ("examples", "high/maps", first(np.nan)),
    ("examples", "high/maps", lambda a: a[:1]),
    ("examples", "low/images", lambda a: a[:, :4]),
    ("examples", "low/images", lambda a: a.astype(np.float32)),
    ("examples", "low/image_ids", lambda a: a[:1]),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "change"), FAULTS)
def test_an_array_that_no_kernel_may_see_is_refused(tmp_path, kind, name, change):
    path = BY_NAME[kind].make(tmp_path)
    planted(path, name, lambda array: array)
    BY_NAME[kind].read(path)  # to be sealed anew is no reason
    planted(path, name, change)
    said = (
        rf"{path.name} (is damaged or not .*|cannot be read \({name} holds .*): remove it and run"
    )
    with pytest.raises(UserError, match=said):
        BY_NAME[kind].read(path)


@pytest.mark.parametrize("storage", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_activations_that_are_not_finite_are_refused_behind_right_checksums(
    tmp_path, storage, value
):
    cache = write_cache(tmp_path, random_activations(8), storage=storage)
    (shard,) = tmp_path.glob("train/shard-*")
    with h5py.File(shard, "r+") as file, h5py.File(cache, "r+") as joined:
        data = hdf5.dataset(file, "activations")
        chunk = data[4:8]
        bits = torch.tensor(value).to(getattr(torch, storage))
        bits = bits.view(torch.int16) if storage == "bfloat16" else bits
        chunk[-1, -1, -1] = bits.numpy()
        data[4:8] = chunk
        for each in (file, joined):
            hdf5.dataset(each, "crc32")[1] = zlib.crc32(np.ascontiguousarray(chunk).data)
        seals.seal_hdf5(file, shard, ACTIVATIONS, apart=APART)
        seals.seal_hdf5(joined, cache, ACTIVATIONS, apart=APART)
    said = rf"chunk 1 of {shard} holds NaN or infinity"
    with ActivationCache(cache) as opened:
        opened.read_chunk(0)
        with pytest.raises(UserError, match=said):
            opened.read_chunk(1)
    with pytest.raises(UserError, match=said):
        join_shards([shard], tmp_path / "again.h5", statistics=True)


@pytest.mark.parametrize("at", [(0, 0), (20, 1030)])
def test_only_the_parts_that_are_read_are_looked_at(tmp_path, at):
    codes = np.ones((40, 1100), np.float16)
    codes[at] = np.nan
    declared = Array("float16", "F N", least=0, apart=True)
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        writer = hdf5.Checked(file, "codes", codes.shape, codes.dtype, (16, 1024))
        writer.write((0, 0), codes)
        writer.finish()
        data = hdf5.dataset(file, "codes", declared)
        for feature, image in ((0, 0), (0, 1030), (20, 0), (20, 1030)):
            rows, images = slice(feature, feature + 2), slice(image, image + 2)
            if (feature, image) == at:
                with pytest.raises(UserError, match=r"cannot be read \(codes holds NaN"):
                    data[rows, images]
            else:
                assert (data[rows, images] == 1).all()
        del file["codes_crc32"]
        with pytest.raises(ValueError, match="no checksums"):
            hdf5.dataset(file, "codes", declared)


def test_values_of_features_that_are_none_are_refused(tmp_path):
    path = BY_NAME["arrays"].make(tmp_path)
    score = path.with_suffix(".json")
    assert np.isnan(values_of_features("monosemanticity", score, 7)).sum() == 2
    for features in (4, 0):
        with pytest.raises(UserError, match=rf"they are not of {features} features"):
            values_of_features("monosemanticity", score, features)
    with pytest.raises(UserError, match="moran is not in it"):
        values_of_features("localization", score, 5)


@pytest.mark.parametrize("values", [np.array([1, -np.inf]), np.array(["1", "2"])])
def test_arrays_of_a_score_are_numbers_that_are_not_infinite(tmp_path, values):
    path = BY_NAME["arrays"].make(tmp_path)
    seals.write_npz(path, ARRAYS_FORMAT, {"monosemanticity": values})
    score = path.with_suffix(".json")
    seals.write_document(score, KIND, {"metric": "monosemanticity"}, arrays=path)
    with pytest.raises(UserError, match=r"npz is damaged or not arrays .*monosemanticity"):
        read_arrays(score)
