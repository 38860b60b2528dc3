"""Seals: no damaged, foreign or exchanged file is read; what is read is what was written."""

import errno
import json
import os
import shutil

import h5py
import numpy as np
import pytest
import torch

from visae.base import hdf5, seals
from visae.base.errors import UserError
from visae.base.paths import home_of
from visae.base.seals import (
    LIBVER,
    SEAL,
    check_belongs,
    made_of,
    open_hdf5,
    read_beside,
    read_document,
    read_npz,
    recorded,
    seal_hdf5,
    write_beside,
    write_document,
    write_npz,
    write_tensors,
)

KIND = "toy-1"


def write_h5(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", libver=LIBVER) as file:
        hdf5.write_attributes(file, {"sae": "ä", "count": 3})
        hdf5.write_strings(file, "ids", ["a", "ßx", ""])
        file["small"] = np.arange(7.0)
        large = np.arange(600, dtype=np.float32).reshape(60, 10) / 7
        checked = hdf5.Checked(file, "large", large.shape, large.dtype, (16, 5))
        for start in range(0, 60, 32):
            checked.write((start, 0), large[start : start + 32])
        checked.finish()
        seal_hdf5(file, path, KIND)


def read_h5(path):
    with open_hdf5(path, KIND) as file:
        large = hdf5.array(file, "large")
        attributes = hdf5.attributes(file)
        said = hdf5.text(attributes["sae"]), int(attributes["count"])
        return said, hdf5.strings(file, "ids"), file["small"][:].tolist(), large.tolist()


def write_arrays(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_npz(path, KIND, {"coef": np.arange(12.0).reshape(3, 4), "name": "ä", "done": True})


def read_arrays(path):
    return {name: (a.dtype, a.tolist()) for name, a in read_npz(path, KIND).items()}


FORMATS = pytest.mark.parametrize(
    ("write", "read"), [(write_h5, read_h5), (write_arrays, read_arrays)], ids=["hdf5", "npz"]
)


@FORMATS
def test_damage_is_refused_or_changes_nothing(write, read, tmp_path):
    path, random = tmp_path / "toy", np.random.default_rng(0)
    path = path.with_suffix(".h5" if write is write_h5 else ".npz")
    write(path)
    content, whole, refused = read(path), path.read_bytes(), 0
    for trial in range(400):
        damaged = bytearray(whole)
        if trial % 8:
            bit = int(random.integers(8 * len(whole)))
            damaged[bit // 8] ^= 1 << bit % 8
        else:
            del damaged[int(random.integers(len(whole))) :]
        path.write_bytes(damaged)
        try:
            assert read(path) == content
        except UserError:
            refused += 1
    assert refused > 100


@FORMATS
def test_a_file_of_another_place_or_kind_is_refused_and_a_moved_study_is_not(write, read, tmp_path):
    suffix = ".h5" if write is write_h5 else ".npz"
    path = tmp_path / f"results/study/rankings/clip/layer11/a/imagenet{suffix}"
    write(path)
    content = read(path)
    shutil.copytree(tmp_path / "results/study", tmp_path / "elsewhere")
    assert read(tmp_path / f"elsewhere/rankings/clip/layer11/a/imagenet{suffix}") == content
    other = tmp_path / f"results/study/rankings/clip/layer11/b/imagenet{suffix}"
    write(other)
    shutil.copy(path, other)
    with pytest.raises(UserError, match="rankings/clip/layer11/a/imagenet"):
        read(other)
    opening = open_hdf5 if write is write_h5 else read_npz
    with pytest.raises(UserError, match="toy-2"):
        opening(path, "toy-2")
    with pytest.raises(UserError, match="missing"):
        read(tmp_path / f"absent{suffix}")


def test_strings_of_variable_length_are_refused_unread(tmp_path):
    path = tmp_path / "old.h5"
    with h5py.File(path, "w", libver=LIBVER) as file:
        file.create_dataset("ids", data=["a"], dtype=h5py.string_dtype())
        with pytest.raises(ValueError, match="variable length"):
            seal_hdf5(file, path, KIND)
    with pytest.raises(UserError, match="old"):
        open_hdf5(path, KIND)


@pytest.mark.parametrize(
    ("above", "place"),
    [
        ("results/tiny", "reductions/clip/layer11/relu/metrics/val.h5"),
        ("results/metrics", "rankings/metrics/layer11/relu/saes.h5"),
        ("metrics/examples/results", "metrics/clip/layer11/x/in_every_space/fvu.json"),
        ("", "examples/clip/layer3/relu.h5"),
    ],
)
def test_the_place_is_what_lies_below_the_study(above, place):
    assert home_of(f"/data/{above}/{place}")[1] == home_of(place)[1] == place
    assert home_of("/data/metrics/mine.npz") == (None, "mine.npz")


def test_a_text_beside_weights_has_their_seal(tmp_path):
    folder = tmp_path / "results/x/saes/vit/layer1/batchtopk_2x_k8"
    texts = {"training.jsonl": "{}\n", "config.yaml": "a: 1\n"}
    seals.write_tensors(folder / "model.safetensors", "kind", {"a": torch.zeros(2)}, {}, texts)
    figure = tmp_path / "results/x/figures/training_curves.png"
    (digest,) = {
        value for name in texts for value in seals.made_of(figure, [folder / name]).values()
    }
    assert digest == seals.recorded(folder / "model.safetensors")["digest"]


# ---------------------------------------------------------------- what a file was made of


def study_of(folder, cache=1):
    """A cache, two files that were made of it and one of these; the results' folder."""
    results = folder / "results/s"
    files = {
        "cache": results / "activations/clip/layer1/toy/val.npz",
        "reductions": results / "reductions/clip/layer1/a/toy/val.npz",
        "ranking": results / "rankings/clip/layer1/a/toy.npz",
        "score": results / "metrics/clip/layer1/a/fvu.json",
    }
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    write_npz(files["cache"], KIND, {"value": cache})
    for name, inputs in (("reductions", ["cache"]), ("ranking", ["reductions"])):
        origin = made_of(files[name], [files[i] for i in inputs])
        write_npz(files[name], KIND, {"value": 0}, origin)
    write_document(files["score"], KIND, {"value": 0}, made_of(files["score"], [files["ranking"]]))
    return files


def test_what_was_made_of_another_file_is_refused_until_it_is_made_again(tmp_path):
    files = study_of(tmp_path)
    place = "activations/clip/layer1/toy/val.npz"
    digest = recorded(files["cache"])["digest"]
    assert recorded(files["score"])["made_of"] == {
        # What all is made of is handed down, what stands between is not.
        place: digest,
        "rankings/clip/layer1/a/toy.npz": recorded(files["ranking"])["digest"],
    }
    read_npz(files["reductions"], KIND), read_document(files["score"], KIND)
    # Written again with other content.
    write_npz(files["cache"], KIND, {"value": 2})
    for name, read in (("reductions", read_npz), ("ranking", read_npz), ("score", read_document)):
        with pytest.raises(UserError, match=rf"{files[name].name} was made of another .*val\.npz"):
            read(files[name], KIND)
    # With the same content again, or removed.
    write_npz(files["cache"], KIND, {"value": 1})
    read_document(files["score"], KIND)
    files["cache"].unlink()
    read_document(files["score"], KIND)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_what_a_file_was_made_of_is_not_missing_where_the_disk_does_not_say(
    tmp_path, monkeypatch, number
):
    files, stat = study_of(tmp_path), os.stat

    def failing(path, *arguments, **options):
        if str(path) == str(files["cache"]):
            raise OSError(number, os.strerror(number))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", failing)
    with pytest.raises(UserError, match=f"cannot be opened .{os.strerror(number)}"):
        read_document(files["score"], KIND)


def test_a_moved_study_stands_and_another_studys_file_does_not(tmp_path):
    files = study_of(tmp_path / "one")
    other = study_of(tmp_path / "two", cache=2)
    shutil.copytree(tmp_path / "one/results/s", tmp_path / "moved")
    for name in ("reductions", "ranking"):
        read_npz(tmp_path / "moved" / home_of(files[name])[1], KIND)
        shutil.copy(other[name], files[name])
        with pytest.raises(UserError, match="was made of another"):
            read_npz(files[name], KIND)


def test_inputs_that_were_made_of_different_files_are_refused_without_these(tmp_path):
    files, other = study_of(tmp_path / "one"), study_of(tmp_path / "two", cache=2)
    shutil.copy(other["ranking"], files["ranking"])
    files["cache"].unlink()
    files["reductions"].unlink()
    read_npz(files["ranking"], KIND)  # whose inputs are gone
    shutil.copy(study_of(tmp_path / "three")["reductions"], files["reductions"])
    with pytest.raises(UserError, match=r"toy\.npz .*val\.npz were made of different files"):
        made_of(files["score"], [files["reductions"], files["ranking"]])


def test_texts_of_an_sae_are_sealed_in_its_weights(tmp_path):
    folder = tmp_path / "results/s/saes/clip/layer1/a"
    weights = folder / "model.safetensors"
    write_tensors(weights, KIND, {"w": torch.zeros(1)}, beside={"config.yaml": "a: 1\n"})
    table = tmp_path / "results/s/tables/table_1.json"
    digest = recorded(weights)["digest"]
    expected = {"saes/clip/layer1/a/model.safetensors": digest}
    assert made_of(table, [folder / "config.yaml"]) == made_of(table, [weights]) == expected


def test_a_seal_that_was_edited_is_refused(tmp_path):
    files = study_of(tmp_path)
    document = json.loads(files["score"].read_text())
    document[SEAL]["made_of"] = {}
    files["score"].write_text(json.dumps(document))
    with pytest.raises(UserError, match="changed since it was written"):
        read_document(files["score"], KIND)
    with pytest.raises(UserError, match="seal that has changed"):
        recorded(files["score"])


def test_what_belongs_together_is_read_together(tmp_path):
    arrays, document = tmp_path / "a.npz", tmp_path / "a.json"
    write_npz(arrays, KIND, {"x": 1})
    write_document(document, KIND, {}, arrays=arrays)
    check_belongs(arrays, document)
    write_npz(arrays, KIND, {"x": 2})
    with pytest.raises(UserError, match=r"a\.npz and a\.json beside it were not written together"):
        check_belongs(arrays, document)
    write_beside(tmp_path / "t.csv", KIND, "a\n1\n")
    assert read_beside(tmp_path / "t.csv", KIND) == b"a\n1\n"
    (tmp_path / "t.csv").write_text("a\n2\n")
    with pytest.raises(UserError, match=r"t\.csv has changed"):
        read_beside(tmp_path / "t.csv", KIND)


@pytest.mark.parametrize(
    "selection",
    [
        *(np.s_[3:17], np.s_[:, 2:7], np.s_[5], np.s_[[1, 40]], np.s_[59:80, :3], np.s_[:]),
        *(np.s_[-1], np.s_[7, 2:], np.s_[:4, -2], np.s_[np.int64(5), np.int32(1)]),
    ],
)
def test_parts_of_a_checked_data_set_are_those_of_the_array(tmp_path, selection):
    write_h5(tmp_path / "x.h5")
    expected = np.arange(600, dtype=np.float32).reshape(60, 10) / 7
    with open_hdf5(tmp_path / "x.h5", KIND) as file:
        found = hdf5.part(hdf5.dataset(file, "large"), selection)
    np.testing.assert_array_equal(found, expected[selection])


def test_a_value_that_was_edited_through_the_library_is_refused_where_it_is_read(tmp_path):
    write_h5(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file["large"][20, 7] += 1
    with open_hdf5(tmp_path / "x.h5", KIND) as file:
        data = hdf5.dataset(file, "large")
        data[:16], data[:, :5], data[32:], data[15], data[20, 4], data[-1, 5:], data[:, 4]
        for selection in (np.s_[16:32], np.s_[:, 5:], np.s_[20, 7], np.s_[31], np.s_[:]):
            with pytest.raises(UserError, match=r"large of .*x\.h5 .*chunk \[1, 1\] has changed"):
                data[selection]


def test_a_file_that_stands_unchanged_is_read_through_once(tmp_path, monkeypatch):
    path, digests = tmp_path / "toy.h5", []
    of_hdf5 = seals._of_hdf5
    monkeypatch.setattr(seals, "_of_hdf5", lambda *said: digests.append(said) or of_hdf5(*said))
    write_h5(path)
    digests.clear()
    for _ in range(2):
        read_h5(path)
    assert len(digests) == 2  # too new for its time of change to tell
    monkeypatch.setattr(seals, "_SETTLED", 0)
    for _ in range(3):
        read_h5(path)
    assert len(digests) == 3
    # Another content of the same size, with the old time of change.
    before = path.stat()
    with h5py.File(path, "r+") as file:
        hdf5.dataset(file, "small")[3] = 17.0
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    with pytest.raises(UserError, match="has changed since it was written"):
        read_h5(path)
