"""What a data set was made of: every change of it is told, and nothing else is."""

import os
import shutil

import pytest

from visae.images import inventory
from visae.images.layouts import LAYOUTS, index_images

LISTS = LAYOUTS["imagenet"].lists


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data"
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            for number in range(3):
                path = root / split / name / "near" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(bytes(10 + number))
    (root / "parents.csv").write_text("class,parent\ncat,pet\n")
    return root


@pytest.fixture(params=[10_000, 0], ids=["with sizes", "by time"])
def taken(root, request, monkeypatch, tmp_path):
    """The inventory, written and read. With `SIZES` 0 it is that of a large data set."""
    monkeypatch.setattr(inventory, "SIZES", request.param)
    records = [r for s in ("train", "val") for r in index_images("imagenet", root, s).images]
    inventory.write(tmp_path / "inventory.tsv", inventory.take(root, records, LISTS))
    return inventory.read(tmp_path / "inventory.tsv")


def test_nothing_is_told_of_what_has_not_changed(root, taken, tmp_path):
    assert inventory.changes(root, taken, LISTS) is None
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)  # all times differ
    assert inventory.changes(tmp_path / "copy", taken, LISTS) is None


def test_hidden_files_and_other_folders_are_nobodys_business(root, taken):
    (root / "train/cat/.DS_Store").touch()
    (root / "test").mkdir()
    (root / "notes.txt").touch()
    assert inventory.changes(root, taken, LISTS) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: (r / "train/cat/near/9.png").touch(), "1 added (train/cat/near/9.png)"),
        (lambda r: (r / "train/cat/9.jpg").touch(), "1 added (train/cat/9.jpg)"),
        (lambda r: (r / "val/dog/near/1.png").unlink(), "1 removed (val/dog/near/1.png)"),
        (lambda r: (r / "train/elk").mkdir(), "1 added (train/elk/)"),
        (lambda r: shutil.rmtree(r / "train/dog"), "1 removed (train/dog/)"),
        (lambda r: (r / "parents.csv").write_text("class,parent\ncat,pat\n"), "1 changed (parents"),
        (lambda r: (r / "parents.csv").unlink(), "1 removed (parents.csv)"),
        (lambda r: (r / "LOC_val_solution.csv").touch(), "1 added (LOC_val_solution.csv)"),
        (
            lambda r: (r / "train/cat/near/1.png").rename(r / "train/cat/near/9.png"),
            "1 added (train/cat/near/9.png), 1 removed (train/cat/near/1.png)",
        ),
    ],
)
def test_changes_are_named(change, words, root, taken):
    change(root)
    assert words in inventory.described(inventory.changes(root, taken, LISTS))


def test_pictures_that_were_replaced_are_told_in_small_data_sets(root, taken):
    (root / "val/cat/near/0.png").write_bytes(bytes(99))
    found = inventory.changes(root, taken, LISTS)
    small = inventory.SIZES > 0
    assert (found and inventory.described(found)) == (
        "1 changed (val/cat/near/0.png)" if small else None
    )


def test_large_data_sets_cost_one_stat_for_each_folder(root, taken, monkeypatch):
    monkeypatch.setattr(inventory, "SIZES", 0)
    monkeypatch.setattr(os, "scandir", None)
    assert inventory.changes(root, taken, LISTS) is None


def test_what_is_left_out_is_counted_and_named(root):
    for name in ("a.txt", "b.txt", "LICENCE", "clip.mp4"):
        (root / "train/cat" / name).write_text("words")
    (root / "val/loose.csv").touch()  # beside a folder of images that is not asked for
    records = index_images("imagenet", root, "train").images
    lists = (*LISTS, "train/cat/b.txt")
    (root / "train/cat/b.txt").rename(root / "train/cat/z.txt")
    (root / "train/cat/b.txt").write_text("a list is used")
    told = inventory.left_out(inventory.take(root, records, lists), records)
    assert told == [
        "Left out: 1 file(s) without a suffix, the first is train/cat/LICENCE.",
        "Left out: 1 file(s) named *.mp4, the first is train/cat/clip.mp4.",
        "Left out: 2 file(s) named *.txt, the first is train/cat/a.txt.",
    ]
