"""Splits that share pictures: by file, and by content whatever the names are."""

import numpy as np
import pytest

from visae.base.errors import UserError
from visae.images.copies import check_copies, check_disjoint, find_copies
from visae.images.layouts import index_images


@pytest.fixture
def splits(tmp_path):
    """Two splits with the same names; every file has the same length, and none the same content."""
    random = np.random.default_rng(0)
    for split, count in (("train", 150), ("val", 120)):
        folder = tmp_path / split / "cat"
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number:03d}.png").write_bytes(random.bytes(5000))
    return tmp_path


def indices(root):
    return {split: index_images("imagenet", root, split) for split in ("train", "val")}


def test_equal_names_are_no_leak(splits):
    found = indices(splits)
    assert found["train"].images[3].image_id == found["val"].images[3].image_id == "cat/003"
    check_disjoint(found)
    assert find_copies(splits, found) == []
    assert check_copies(splits, found) is None


def test_a_few_copies_are_told_and_more_are_refused(splits):
    train, val = splits / "train/cat", splits / "val/cat"
    (val / "other.png").write_bytes((train / "007.png").read_bytes())
    found = indices(splits)
    pair = ("train", "train/cat/007.png", "val", "val/cat/other.png")
    assert find_copies(splits, found) == [pair]
    assert "share 1 picture(s)" in check_copies(splits, found)
    (val / "link.png").symlink_to(train / "009.png")
    with pytest.raises(UserError, match=r"share 2 picture.*train/cat/007.png = val/cat/other.png"):
        check_copies(splits, indices(splits))


@pytest.mark.parametrize("place", [0, 2500, 4999])
def test_one_byte_makes_another_picture(place, splits):
    """Also one that lies before the end, which is compared first."""
    content = bytearray((splits / "train/cat/007.png").read_bytes())
    content[place] ^= 1
    (splits / "val/cat/other.png").write_bytes(content)
    assert find_copies(splits, indices(splits)) == []


def test_copies_inside_of_one_split_are_no_leak(splits):
    (splits / "val/cat/again.png").write_bytes((splits / "val/cat/000.png").read_bytes())
    assert find_copies(splits, indices(splits)) == []


def test_a_file_that_is_gone_is_named(splits):
    found = indices(splits)
    (splits / "val/cat/000.png").unlink()
    with pytest.raises(UserError, match=r"val/cat/000.png.*unpack"):
        check_copies(splits, found)
