import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visae.base.errors import UserError
from visae.base.seals import write_beside
from visae.probing.splits import FORMAT, read_split, stratified_split, write_split


def test_imagenet_validation_gives_ten_of_fifty_images():
    labels = np.repeat(np.arange(1000), 50)
    test_mask = stratified_split(labels)
    assert np.bincount(labels[test_mask]).tolist() == [10] * 1000


def test_single_image_classes_train_and_gaps_do_not_matter():
    labels = np.array([7] * 10 + [900] + [-3] * 5 + [12] * 2)
    test_mask = stratified_split(labels)
    counts = {label: int(test_mask[labels == label].sum()) for label in (7, 900, -3, 12)}
    assert counts[900] == 0
    assert counts[12] == 1
    assert counts[7] == 2
    assert counts[-3] == 1
    dense = np.unique(labels, return_inverse=True)[1]
    assert np.array_equal(test_mask, stratified_split(dense))


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=25),
    fraction=st.sampled_from([0.1, 0.2, 0.5]),
    seed=st.integers(0, 5),
)
def test_every_class_is_on_both_sides_and_the_share_is_right(sizes, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 3, sizes))
    test_mask = stratified_split(labels, fraction, seed)
    assert np.array_equal(test_mask, stratified_split(labels, fraction, seed))
    best, low, high = fraction * labels.size, 0, 0
    for label, size in zip(np.arange(len(sizes)) * 3, sizes, strict=True):
        count = test_mask[labels == label].sum()
        if size == 1:
            assert count == 0
            continue
        assert 1 <= count <= size - 1
        assert abs(count - fraction * size) < 1 or count == 1
        low += min(max(int(np.floor(round(fraction * size, 9))), 1), size - 1)
        high += min(max(int(np.ceil(round(fraction * size, 9))), 1), size - 1)
    # As close to the fraction as the bounds of the classes allow.
    assert abs(test_mask.sum() - np.clip(best, low, high)) <= 0.5 + 1e-9


def test_the_seed_chooses_the_images():
    labels = np.repeat(np.arange(5), 20)
    assert not np.array_equal(stratified_split(labels, seed=1), stratified_split(labels, seed=2))


def test_the_papers_split_is_a_fifth_by_seed_42():
    """Recorded: a split of the same labels is the same in every version."""
    labels = np.repeat(np.arange(4), 10)
    chosen = np.flatnonzero(stratified_split(labels))
    assert chosen.tolist() == np.flatnonzero(stratified_split(labels, 0.2, 42)).tolist()
    assert chosen.tolist() == [5, 6, 14, 18, 20, 29, 31, 36]


def test_split_file_follows_the_order_of_the_cache(tmp_path):
    ids = ["b", "a", "ü"]
    write_split(tmp_path / "probe_split.csv", ids, np.array([True, False, True]))
    assert (tmp_path / "probe_split.csv").read_text().splitlines()[:2] == [
        "image_id,part",
        "b,test",
    ]
    assert read_split(tmp_path / "probe_split.csv", ["a", "ü"]).tolist() == [False, True]
    with pytest.raises(UserError, match="'c'"):
        read_split(tmp_path / "probe_split.csv", ["a", "c"])


@pytest.mark.parametrize("rows", ["a,test\na,train", "a,validation"])
def test_broken_split_files_are_refused(tmp_path, rows):
    path = tmp_path / "probe_split.csv"
    write_beside(path, FORMAT, "image_id,part\n" + rows + "\n")
    with pytest.raises(UserError, match=r"probe_split\.csv"):
        read_split(path, ["a"])
