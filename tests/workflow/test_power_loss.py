"""A node that loses power: every file is whole or absent, whatever call its writer had come to.

Each writer is cut at every call by which a file gets to the disk (`os.fsync`, `os.replace`). The
order of the calls is checked as well: a file's content is synced before it gets its name, and the
folder after that. So a disk that loses what was not synced loses no part of a file.
"""

import contextlib
import hashlib
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from cache_fixtures import write_cache
from matplotlib.figure import Figure

from visae.activations.cache import ActivationCache
from visae.audit.examples import read_examples, write_examples
from visae.base.errors import UserError
from visae.base.files import atomic_path, write_json, write_text
from visae.base.reading import read_json
from visae.base.seals import (
    read_beside,
    read_document,
    read_npz,
    read_tensors,
    read_text_of,
    write_document,
    write_npz,
    write_tensors,
)
from visae.encoding.raw_pass import reduce_raw
from visae.encoding.reductions import RawReductions
from visae.figures import style
from visae.sae import resume
from visae.study.config import read_config, write_config
from visae.tables import layout

OLD, NEW, REFUSED, ABSENT = 1, 2, "refused", "absent"


def arrays(version):
    return {"a": np.full(5000, version), "b": np.float64(version)}


def write_cache_of(folder, version):
    activations = np.full((8, 6, 3), version, np.float16)
    write_cache(folder, activations, grid=(2, 3), shards=2, statistics=False)


def read_cache_of(folder):
    with ActivationCache(folder / "train.h5") as cache:
        return int(cache.read_chunk(0)[0, 0, 0])


def write_reductions_of(folder, version):
    source = folder.parent / "source"  # of all that are written here, which the first one writes
    if not source.exists():
        spread = np.arange(72, dtype=np.float16).reshape(4, 6, 3)
        write_cache(source, spread, grid=(2, 3), statistics=False)
    with ActivationCache(source / "train.h5") as cache:
        mean = np.full(3, version, np.float32)
        reduce_raw(cache, mean, 1.0, folder / "raw.h5", minimum_active=())


def read_reductions_of(folder):
    with RawReductions(folder / "raw.h5") as raw:
        return int(np.arange(72)[3 * 5] - raw.features_max()[0, 0])


def example(version):
    return {
        "top": {
            "feature": version,
            "moran": 0.5,
            "image_ids": ["a"],
            "maps": np.zeros((1, 2, 2), np.float32),
            "images": np.zeros((1, 4, 4, 3), np.uint8),
        }
    }


def table(version):
    return layout.Table("t", (layout.Column("x", "x"),), [{"x": version}])


def figure(version):
    drawn = Figure(figsize=(1, 1))
    drawn.text(0, 0, str(version))
    return drawn


def folder_of_tensors(folder):
    value = int(read_tensors(folder / "w.safetensors", "k-1")["w"])
    assert read_text_of(folder / "w.safetensors", "log") == str(value)
    return value


WRITERS = {
    "text": (
        lambda f, v: write_text(f / "t.md", str(v)),
        lambda f: int((f / "t.md").read_text()),
    ),
    "json": (lambda f, v: write_json(f / "t.json", v), lambda f: read_json(f / "t.json")),
    "document": (
        lambda f, v: write_document(f / "t.json", "k-1", {"v": v}),
        lambda f: read_document(f / "t.json", "k-1")["v"],
    ),
    "npz": (
        lambda f, v: write_npz(f / "t.npz", "k-1", arrays(v)),
        lambda f: int(read_npz(f / "t.npz", "k-1")["a"].mean()),
    ),
    "table, CSV alone": (
        lambda f, v: layout.write(table(v), {"csv": f / "t.csv"}),
        lambda f: int(read_beside(f / "t.csv", layout.FORMAT).split()[-1]),
    ),
    "table": (
        lambda f, v: layout.write(table(v), {"json": f / "t.json", "csv": f / "t.csv"}),
        lambda f: layout.read(f / "t.json").rows[0]["x"],
    ),
    "tensors with texts": (
        lambda f, v: write_tensors(
            f / "w.safetensors", "k-1", {"w": torch.tensor(v)}, beside={"log": str(v)}
        ),
        folder_of_tensors,
    ),
    "training checkpoint": (
        lambda f, v: resume.save(f / "resume", "run", {"v": torch.tensor(v)}),
        lambda f: int(resume.load(f / "resume", "run", pytest.fail)["v"]),
    ),
    "cache": (write_cache_of, read_cache_of),
    "reductions": (write_reductions_of, read_reductions_of),
    "examples": (
        lambda f, v: write_examples(f / "e.h5", example(v), {"sae": "x"}),
        lambda f: read_examples(f / "e.h5")[1]["top"]["feature"],
    ),
    "figure": (
        lambda f, v: style.write(figure(v), {"pdf": f / "f.pdf", "png": f / "f.png"}),
        lambda f: read_beside(f / "f.png", "visae-figure-1") and None,
    ),
    "config": (
        lambda f, v: write_config({"study": "s", "seed": v}, f / "config.yaml"),
        lambda f: read_config(f / "config.yaml")["seed"],
    ),
}


class Cut(BaseException):
    """The power is lost: nothing that follows is done, not even tidying up."""


@contextlib.contextmanager
def calls(monkeypatch, cut_at=None):
    """Yield the list of the calls that bring files to the disk; the one numbered `cut_at` fails."""
    made = []

    def content(path):
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()

    def patched(name, describe):
        real = getattr(os, name)

        def call(*arguments):
            if len(made) == cut_at:
                raise Cut
            made.append((name, *describe(*arguments)))
            return real(*arguments)

        patch.setattr(os, name, call)

    def synced(handle):
        path = os.readlink(f"/proc/self/fd/{handle}")
        return path, None if os.path.isdir(path) else content(path)

    with monkeypatch.context() as patch:
        patched("fsync", synced)
        patched("replace", lambda old, new: (str(old), str(new), content(old)))
        if cut_at is not None:
            # A process without power removes nothing.
            patch.setattr(Path, "unlink", lambda *_, **__: None)
        yield made


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_is_synced_before_it_has_its_name_and_its_folder_after(tmp_path, monkeypatch, kind):
    write, _ = WRITERS[kind]
    folder = tmp_path.resolve() / "x"
    write(tmp_path / "first", OLD)
    with calls(monkeypatch) as made:
        write(folder, NEW)
    names = [number for number, (call, *_) in enumerate(made) if call == "replace"]
    written = {path for path in folder.rglob("*") if path.is_file()}
    assert written == {Path(made[number][2]) for number in names}
    for number in names:
        _, partial, path, content = made[number]
        assert made[number - 1] == ("fsync", partial, content)
        assert made[number + 1] == ("fsync", str(Path(path).parent), None)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_writer_that_is_cut_leaves_the_old_file_or_the_new_one(tmp_path, monkeypatch, kind):
    write, read = WRITERS[kind]
    write(tmp_path / "first", OLD)
    with calls(monkeypatch) as made:
        write(tmp_path / "whole", NEW)
    assert read(tmp_path / "whole") in (NEW, None)
    seen = []
    for number in range(len(made)):
        for before in (None, OLD):
            folder = tmp_path / f"{number}_{before}"
            if before:
                write(folder, before)
            with pytest.raises(Cut), calls(monkeypatch, cut_at=number):
                write(folder, NEW)
            seen.append((before, outcome(read, folder)))
    # Of several files that belong together some may be new: they are refused, and never mixed.
    assert {found for before, found in seen if before} <= {OLD, NEW, REFUSED, None}
    assert {found for before, found in seen if not before} <= {NEW, ABSENT, REFUSED, None}


def outcome(read, folder):
    """What `read` finds in `folder`, or how it says that there is nothing whole."""
    try:
        return read(folder)
    except UserError as error:
        whole = re.search("together|changed|CRC-32|has no seal", str(error))
        return REFUSED if whole else ABSENT if "missing" in str(error) else str(error)
    except (FileNotFoundError, TypeError):
        return ABSENT


def test_the_check_notices_a_file_that_gets_its_name_unsynced(tmp_path, monkeypatch):
    with calls(monkeypatch) as made, atomic_path(tmp_path / "x.h5") as temporary:
        with h5py.File(temporary, "w") as file:
            file["a"] = np.zeros(3)
        os.replace(temporary, tmp_path / "y.h5")
        temporary.touch()
    assert next(call for call, *_ in made) == "replace"
