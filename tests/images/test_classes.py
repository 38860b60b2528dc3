"""Splits whose lists of classes differ: labels are matched by name, or both lists are shown."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visae.base.errors import UserError
from visae.images.classes import unified
from visae.images.index import ClassRecord, ImageRecord, build_index


def listed(*names, parents=(), images=None):
    """An index with these classes and one image of each (or of `images`)."""
    parents = [*parents, *[""] * len(names)]
    classes = [ClassRecord(i, name, parents[i]) for i, name in enumerate(names)]
    shown = [ImageRecord(f"{n}/1", f"{n}.png", names.index(n), n) for n in images or names]
    return build_index(shown, classes, "here")


def names(index):
    return [record.class_name for record in index.classes]


def test_splits_that_agree_stay_as_they_are():
    splits = {"train": listed("a", "b"), "val": listed("a", "b", images=["b"])}
    assert unified(splits, "here") == (splits, None)


@pytest.mark.parametrize("others", [("a", "c"), ("c", "a"), ("c", "b", "a")])
def test_labels_are_matched_by_name(others):
    splits, told = unified({"val": listed(*others), "train": listed("a", "b", "c")}, "/data")
    assert list(splits) == ["val", "train"]
    assert all(names(index) == ["a", "b", "c"] for index in splits.values())
    assert {r.class_name: r.label for r in splits["val"].images} == {
        n: "abc".index(n) for n in others
    }
    assert f"'val' [{', '.join(others)}]" in told
    assert "'train' [a, b, c]" in told


@given(st.lists(st.permutations("abcde").map(lambda p: tuple(p[:4])), min_size=2, max_size=4))
def test_every_image_keeps_its_class_in_whatever_order_the_splits_are(lists):
    splits = {f"split{i}": listed(*own) for i, own in enumerate(lists)}
    found, _ = unified(splits, "here")
    assert len({index.classes for index in found.values()}) == 1
    for name, index in found.items():
        assert [r[:2] + r[3:] for r in index.images] == [r[:2] + r[3:] for r in splits[name].images]
        assert all(names(index)[r.label] == r.class_name for r in index.images)
    for order in itertools.permutations(splits):
        assert unified({name: splits[name] for name in order}, "here")[0] == found


def test_a_split_without_classes_is_left_alone():
    bare = build_index([ImageRecord("x", "x.png", -1, "")], [], "here")
    splits = {"test": bare, "train": listed("a")}
    assert unified(splits, "here") == (splits, None)


@pytest.mark.parametrize(
    "train, val, words",
    [
        (("a", "b"), ("c", "d"), "share no class, 'train' .a, b. and 'val' .c, d."),
        (("cat", "dog"), ("cat", "Dog"), "spell the class 'dog' as 'Dog' too, 'train' .cat, dog."),
        (("cat", "tree_frog"), ("cat", "tree  frog"), "'tree_frog' as 'tree  frog'"),
    ],
)
def test_lists_that_names_do_not_match_are_refused(train, val, words):
    with pytest.raises(UserError, match=words):
        unified({"train": listed(*train), "val": listed(*val)}, "/data")


def test_parents_are_taken_from_the_split_that_has_them():
    bare, full = listed("a", "b"), listed("a", "b", parents=["pet", "pet"])
    found, _ = unified({"train": bare, "val": full}, "here")
    assert [r.parent for r in found["train"].classes] == ["pet", "pet"]
    with pytest.raises(UserError, match=r"class 'b' the parents pet and wild"):
        unified({"train": full, "val": listed("a", "b", parents=["pet", "wild"])}, "here")


def test_long_lists_are_cut():
    many = [f"c{n:03d}" for n in range(40)]
    _, told = unified({"train": listed(*many), "val": listed(*many[1:])}, "here")
    assert "c011, … 40 in all]" in told
    assert "c012" not in told.partition(" and ")[0]
