"""Seals: no damaged, foreign or exchanged file is read; what is read is what was written."""

import shutil

import h5py
import numpy as np
import pytest
import torch

from visae.base import hdf5, seals
from visae.base.errors import UserError
from visae.base.paths import place_of
from visae.base.seals import LIBVER, open_hdf5, read_npz, seal_hdf5, write_npz

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
        file.create_dataset("ids", data=["a"], dtype=hdf5.STRING)
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
    assert place_of(f"/data/{above}/{place}") == place_of(place) == place
    assert place_of("/data/metrics/mine.npz") == "mine.npz"


def test_a_text_beside_weights_has_their_seal(tmp_path):
    folder = tmp_path / "results/x/saes/vit/layer1/batchtopk_2x_k8"
    texts = {"training.jsonl": "{}\n", "config.yaml": "a: 1\n"}
    seals.write_tensors(folder / "model.safetensors", "kind", {"a": torch.zeros(2)}, {}, texts)
    figure = tmp_path / "results/x/figures/training_curves.png"
    (digest,) = {
        value for name in texts for value in seals.made_of(figure, [folder / name]).values()
    }
    assert digest == seals.recorded(folder / "model.safetensors")["digest"]
