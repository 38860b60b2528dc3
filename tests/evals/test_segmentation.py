"""Segmentation: labels of patches, IoU, and linear heads against references."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import torch
from cache_fixtures import random_activations, write_cache
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_fixtures import tight_probe
from PIL import Image
from sklearn.metrics import confusion_matrix
from torchmetrics.classification import MulticlassJaccardIndex

from visae.activations.cache import ActivationCache
from visae.backbones.preprocessing import Preprocessing
from visae.base.errors import UserError
from visae.evals.segmentation.compute import (
    LabelledPatches,
    _outcome,
    _PatchBlocks,
    as_seen,
    class_iou,
    confusion,
    most_frequent,
    patch_labels,
    segment_raw,
    segment_sae,
    sparse_codes,
)
from visae.evals.segmentation.heads import HeadSettings, LinearHead, fit_heads, predictions
from visae.images.index import UNLABELLED, ClassRecord, ImageRecord, build_index
from visae.sae.adam import Adam
from visae.sae.model import SELECTIONS, SparseAutoencoder

GRID = (3, 4)
NAMES = ["sky", "tree", "road"]
QUICK = HeadSettings(epochs=60, batch=64, learning_rate=0.1)


# ---------------------------------------------------------------- labels


def test_the_most_frequent_value_wins_and_the_lowest_of_equals():
    mask = np.array(
        [
            [1, 1, 2, 2],
            [1, 0, 3, 3],  # patch 1: two pixels each of 2 and 3
            [0, 0, 0, 0],
            [2, 2, 2, 2],  # patches 2 and 3: as many unlabelled as labelled
            [5, 5, 0, 5],
            [5, 0, 0, 0],
        ],
        np.uint8,
    )
    assert most_frequent(mask, (3, 2)).tolist() == [0, 1, UNLABELLED, UNLABELLED, 4, UNLABELLED]


@given(st.integers(0, 2**16))
@settings(max_examples=10, deadline=None)
def test_the_most_frequent_value_equals_a_loop(seed):
    random = np.random.default_rng(seed)
    mask = random.integers(0, 4, size=(6, 8)).astype(np.uint8)
    expected = [
        int(np.bincount(mask[2 * r : 2 * r + 2, 4 * c : 4 * c + 4].ravel()).argmax()) - 1
        for r in range(3)
        for c in range(2)
    ]
    assert most_frequent(mask, (3, 2)).tolist() == expected


@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("shape", [(60, 90), (91, 60), (48, 48)])
@pytest.mark.parametrize("sizes", [(40, 32), ((40, 80), (32, 64))])
def test_a_mask_is_seen_as_its_image_is(mode, shape, sizes):
    """Two halves as image and as mask: their border lies in the same place."""
    preprocessing = Preprocessing(mode, *sizes, "bicubic", (0.5,) * 3, (0.5,) * 3)
    mask = np.zeros(shape, np.uint8)
    mask[: shape[0] // 2, : 2 * shape[1] // 3] = 150
    image = Image.fromarray(np.where(mask > 0, 255, 0).astype(np.uint8)).convert("RGB")
    seen = as_seen(mask, preprocessing)
    assert set(np.unique(seen)) == {0, 150}
    pixels = preprocessing.pixels(image)[0]
    assert ((pixels > 127) == (seen == 150)).mean() > 0.95
    assert ((pixels > 127) == (seen[:, ::-1] == 150)).mean() < 0.95


def preprocessing_record():
    return Preprocessing("squash", 12, 12, "bicubic", (0.5,) * 3, (0.5,) * 3).record()


def mask_index(folder, names, classes=NAMES, lacking=()):
    """Masks of 3 × 4 patches of 4 × 3 pixels, random; index and labels [N, P]."""
    random = np.random.default_rng(0)
    labels = random.integers(UNLABELLED, len(classes), size=(len(names), 12)).astype(np.int16)
    records = []
    for name, row in zip(names, labels, strict=True):
        mask = np.kron(row.reshape(GRID) + 1, np.ones((4, 3))).astype(np.uint8)
        Image.fromarray(mask).save(folder / f"{name}.png")
        records.append(
            ImageRecord(name, f"{name}.jpg", -1, "", "" if name in lacking else f"{name}.png")
        )
    return build_index(records, [ClassRecord(i, c) for i, c in enumerate(classes)], "here"), labels


def test_labels_follow_the_images_of_the_cache(tmp_path):
    """The index also has an image that the cache skipped."""
    path = write_cache(tmp_path, random_activations(5), preprocessing=preprocessing_record())
    names = [f"image-{row:06d}" for row in range(5)]
    index, labels = mask_index(tmp_path, ["another", *names])
    with ActivationCache(path) as cache:
        np.testing.assert_array_equal(patch_labels(cache, index, tmp_path, 2), labels[1:])


def test_bad_masks_are_named(tmp_path):
    path = write_cache(tmp_path, random_activations(2), preprocessing=preprocessing_record())
    names = ["image-000000", "image-000001"]
    with ActivationCache(path) as cache:
        index, _ = mask_index(tmp_path, names, lacking=["image-000001"])
        with pytest.raises(UserError, match="have no mask in the index, the first is 'image-00000"):
            patch_labels(cache, index, tmp_path)
        index, _ = mask_index(tmp_path, names)
        Image.fromarray(np.full((12, 12), 4, np.uint8)).save(tmp_path / "image-000001.png")
        with pytest.raises(UserError, match=r"image-000001\.png holds the class number 4"):
            patch_labels(cache, index, tmp_path)


# ---------------------------------------------------------------- score


@given(st.integers(0, 2**16))
@settings(max_examples=10, deadline=None)
def test_miou_equals_torchmetrics(seed):
    """From parts of the data, with classes that are never true, never predicted, or neither."""
    random = np.random.default_rng(seed)
    true = random.integers(-1, 7, size=400)
    true[true == 3] = 4
    predicted = np.where(random.random(400) < 0.5, np.maximum(true, 0), random.integers(0, 6, 400))
    predicted[predicted == 3] = 0
    known = true != UNLABELLED
    total = sum(
        confusion(true[part][known[part]], predicted[part][known[part]], 9)
        for part in (slice(0, 150), slice(150, 400))
    )
    assert (total == confusion_matrix(true[known], predicted[known], labels=range(9))).all()
    iou = class_iou(total)
    assert np.isnan(iou[[3, 7, 8]]).all()
    reference = MulticlassJaccardIndex(9, average="macro", ignore_index=UNLABELLED)
    expected = reference(torch.from_numpy(predicted), torch.from_numpy(true))
    assert np.nanmean(iou) == pytest.approx(float(expected), abs=1e-6)


def test_iou_is_of_classes_and_not_of_images():
    """One image all of class 0 and right, one all of class 1 and half right."""
    iou = class_iou(confusion(np.repeat([0, 1], 10), np.repeat([0, 1, 0], [10, 5, 5]), 2))
    np.testing.assert_allclose(iou, [10 / 15, 0.5])


def test_a_class_that_is_only_predicted_counts_in_one_mean_and_not_in_the_other():
    confused = np.array([[3, 1, 0, 0], [1, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    outcome = _outcome(confused, list("abcd"), QUICK, {"known": 1})
    assert outcome.details["iou_per_class"] == pytest.approx({"a": 3 / 5, "b": 2 / 5, "c": 0.0,
                                                              "d": None})  # fmt: skip
    assert outcome.value == pytest.approx((3 / 5 + 2 / 5 + 0) / 3)
    assert outcome.readings["miou_of_tested_classes"] == pytest.approx((3 / 5 + 2 / 5) / 2)
    assert outcome.readings["patch_accuracy"] == pytest.approx(5 / 8)
    assert outcome.data == {"known": 1, "scored_classes": 3}


# ---------------------------------------------------------------- heads


def toy_sae(width=5, features=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    decoder = torch.randn(features, width, generator=generator)
    return SparseAutoencoder(
        encoder_weight=decoder / decoder.norm(dim=1, keepdim=True),
        encoder_bias=-0.1 * torch.rand(features, generator=generator),
        decoder_weight=decoder / decoder.norm(dim=1, keepdim=True),
        threshold=torch.tensor(0.4),
        activation_mean=torch.full((width,), 3.0),
        activation_std=torch.tensor(1.5),
    )


@pytest.fixture
def planted(tmp_path):
    """Caches whose patches lie around the centre of their class; a fifth is unlabelled."""
    random = np.random.default_rng(3)
    centres = random.normal(size=(3, 5)) + 3
    parts = []
    for split, images in (("train", 22), ("test", 9)):
        labels = random.integers(0, 3, size=(images, 12)).astype(np.int16)
        activations = centres[labels] + random.normal(size=(images, 12, 5))
        labels[random.random(labels.shape) < 0.2] = UNLABELLED
        path = write_cache(tmp_path, activations.astype(np.float16), split=split)
        parts.append(LabelledPatches(ActivationCache(path), labels))
    yield parts
    for part in parts:
        part.cache.__exit__()


def tokens(part):
    """Labelled tokens [T, D] and their labels."""
    chunks = [part.cache.read_chunk(number) for number in range(len(part.cache.chunks))]
    flat = part.labels_np.ravel()
    return np.concatenate(chunks).reshape(-1, 5)[flat >= 0].astype(np.float32), flat[flat >= 0]


def reference_miou(train_x, train_y, test_x, test_y):
    """mIoU of scikit-learn's regression, penalised too little to matter."""
    predicted = tight_probe(train_x, train_y).predict(test_x)
    matrix = confusion_matrix(test_y, predicted, labels=range(3))
    union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    return np.mean(np.diag(matrix) / union), np.diag(matrix).sum() / matrix.sum()


def test_heads_come_close_to_a_full_regression(planted):
    train, test = planted
    sae = toy_sae()
    (x, y), (test_x, test_y) = tokens(train), tokens(test)
    outcomes = segment_sae(train, test, NAMES, sae, QUICK)
    outcomes["raw"] = segment_raw(train, test, NAMES, np.full(5, 3.0), 1.5, QUICK)
    for name, view in {
        "raw": lambda a: sae.normalise(torch.from_numpy(a)),
        "codes": lambda a: sae.encode(sae.normalise(torch.from_numpy(a))),
        "reconstructed": lambda a: sae.decode(sae.encode(sae.normalise(torch.from_numpy(a)))),
    }.items():
        miou, accuracy = reference_miou(view(x).numpy(), y, view(test_x).numpy(), test_y)
        assert 0.4 < miou < 0.99
        assert outcomes[name].value == pytest.approx(miou, abs=0.06)
        assert outcomes[name].readings["patch_accuracy"] == pytest.approx(accuracy, abs=0.05)
        assert outcomes[name].data["training_patches"] == len(y)
        assert outcomes[name].data["test_patches"] == len(test_y)
        assert outcomes[name].data["test_patches_unlabelled"] == 9 * 12 - len(test_y)
    codes = outcomes["codes"]
    assert np.mean(list(codes.details["iou_per_class"].values())) == pytest.approx(codes.value)


def test_kept_codes_change_nothing(planted):
    train, test = planted
    outcomes = [
        segment_sae(train, test, NAMES, toy_sae(), QUICK, memory=memory)
        for memory in (0, 20_000, 2**30)
    ]
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_no_more_codes_are_kept_than_memory_is_given(planted):
    train, _ = planted
    encoded = []

    def encode(activations_td):
        encoded.append(len(activations_td))
        return scipy.sparse.csr_matrix(np.ones((len(activations_td), 3), np.float32))

    chunks = range(len(train.cache.chunks))
    sizes = [
        sum(part.nbytes for part in (rows.data, rows.indices, rows.indptr))
        for rows in map(_PatchBlocks(train, encode, 0).load, chunks)
    ]
    for kept in (0, 1, 2):
        blocks = _PatchBlocks(train, encode, sum(sizes[:kept]))
        for again in (False, True):
            encoded.clear()
            for number in chunks:
                rows = blocks.load(number)
                labels = blocks.labels[number]
                assert rows.shape == (np.count_nonzero(labels != UNLABELLED), 3)
            assert len(encoded) == len(sizes) - (kept if again else 0)


def test_the_step_size_falls_to_zero_and_every_row_is_seen_once_per_epoch(monkeypatch):
    class Blocks:
        labels = (np.array([0, 1, UNLABELLED, 1, 0, 1]), np.array([1, 0]), np.array([UNLABELLED]),
                  np.array([0, 0, 1]), np.array([1, 1]))  # fmt: skip

        def load(self, number):
            labelled = int((self.labels[number] != UNLABELLED).sum())
            return np.eye(12, dtype=np.float32)[:labelled] + np.float32(number)

    rates, seen = [], []
    step = Adam.step
    monkeypatch.setattr(Adam, "step", lambda self: (rates.append(self.learning_rate), step(self)))
    views = {"it": (12, lambda rows: seen.append(rows.sum(dim=1).tolist()) or rows)}
    settings = HeadSettings(epochs=3, batch=4, learning_rate=0.5)
    first = fit_heads(Blocks(), views, 2, settings, 1)["it"]
    sizes = [len(batch) for batch in seen]
    assert sum(sizes) == 3 * 12
    left = 36 - np.cumsum([0, *sizes[:-1]])
    assert rates == pytest.approx((0.5 * left / 36).tolist())
    rows = [number for batch in seen for number in batch]
    epochs = [sorted(rows[start : start + 12]) for start in (0, 12, 24)]
    assert epochs[0] == epochs[1] == epochs[2]
    again, other = (fit_heads(Blocks(), views, 2, settings, seed)["it"] for seed in (1, 2))
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)
    untrained = LinearHead(12, 2)
    assert not untrained.weight.any()
    assert not untrained.bias.any()


@pytest.mark.parametrize("rows", [1, 3, 5, 6, 10, 14])
def test_a_step_takes_about_a_batch_and_no_step_is_empty(rows):
    """A batch of 4: never more than half as many again, in as few steps as come closest."""

    class Blocks:
        labels = (np.arange(rows) % 2,)

        def load(self, number):
            return np.eye(rows, 12, dtype=np.float32)

    seen = []
    views = {"it": (12, lambda rows: seen.append(len(rows)) or rows)}
    fit_heads(Blocks(), views, 2, HeadSettings(epochs=1, batch=4))
    assert len(seen) == {1: 1, 3: 1, 5: 1, 6: 2, 10: 2, 14: 4}[rows]  # ties to the even number
    assert sum(seen) == rows
    assert max(seen) - min(seen) <= 1


def test_classes_that_only_the_truth_has_count_and_unknown_ones_do_not(planted):
    train, test = planted
    seen = train.labels_np.copy()
    seen[seen == 2] = UNLABELLED
    outcome = segment_raw(
        LabelledPatches(train.cache, seen), test, [*NAMES, "sea"], np.full(5, 3.0), 1.5, QUICK
    )
    ious = outcome.details["iou_per_class"]
    assert ious["road"] < 0.05
    assert ious["sea"] is None
    assert outcome.data["scored_classes"] == 3
    assert outcome.value == pytest.approx((ious["sky"] + ious["tree"] + ious["road"]) / 3)


def test_nothing_labelled_is_said(planted):
    train, test = planted
    nothing = np.full_like(test.labels_np, UNLABELLED)
    outcome = segment_raw(train, LabelledPatches(test.cache, nothing), NAMES, np.zeros(5), 1.0)
    assert outcome.value is None
    assert outcome.reason == "no test patch is labelled"
    known = segment_raw(train, test, NAMES, np.zeros(5), 1.0, HeadSettings(epochs=1)).data
    # What is known of the data is told without a value as well.
    assert outcome.data.items() >= {
        "classes": 3, "test_patches": 0, "training_patches": known["training_patches"],
    }.items()  # fmt: skip
    assert set(known) - set(outcome.data) == {"scored_classes"}
    nothing = np.full_like(train.labels_np, UNLABELLED)
    with pytest.raises(UserError, match="needs labelled training rows"):
        segment_raw(LabelledPatches(train.cache, nothing), test, NAMES, np.zeros(5), 1.0)
    with pytest.raises(UserError, match="activations of width 7, but"):
        segment_sae(train, test, NAMES, toy_sae(width=7))


def test_an_sae_of_another_width_than_its_training_patches_is_refused(planted, tmp_path):
    _, test = planted
    wide = write_cache(tmp_path, random_activations(4, width=6))
    with ActivationCache(wide) as cache:
        train = LabelledPatches(cache, np.zeros((4, 12), np.int16))
        with pytest.raises(UserError, match="the SAE takes activations of width 5"):
            segment_sae(train, test, NAMES, toy_sae())


def test_sparse_codes_are_the_codes():
    sae = toy_sae()
    activations = torch.from_numpy(random_activations(3).reshape(-1, 5))
    expected = sae.encode(sae.normalise(activations))
    assert 0.05 < (expected > 0).float().mean() < 0.6
    np.testing.assert_allclose(sparse_codes(sae, activations).toarray(), expected, atol=1e-6)


@pytest.mark.parametrize("activation", SELECTIONS)
def test_sparse_codes_of_other_rules_are_the_codes(activation, monkeypatch):
    monkeypatch.setattr("visae.evals.segmentation.compute._TOKENS", 5)
    sae = replace(toy_sae(), activation=activation, k=4)
    activations = torch.from_numpy(random_activations(3).reshape(-1, 5))
    expected = sae.encode(sae.normalise(activations))
    assert (expected != 0).sum(dim=1).max() == 4
    np.testing.assert_allclose(sparse_codes(sae, activations).toarray(), expected, atol=1e-6)
    assert sparse_codes(sae, activations[:0]).shape == (0, 20)


def test_a_sparse_batch_and_a_dense_one_train_alike():
    """Same rows as CSR and as an array: same weights, through the same batches."""
    random = np.random.default_rng(0)
    rows = (random.random((90, 12)) * (random.random((90, 12)) < 0.3)).astype(np.float32)
    rows[4] = 0  # a row without any code

    class Blocks:
        labels = np.split(random.integers(0, 3, 90), 3)

        def __init__(self, rows):
            self._rows = rows

        def load(self, number):
            return self._rows[30 * number : 30 * number + 30]

    views = {"it": (12, lambda rows: rows)}
    fitted = [
        fit_heads(Blocks(kind), views, 3, HeadSettings(epochs=3, batch=20))["it"]
        for kind in (rows, scipy.sparse.csr_matrix(rows))
    ]
    torch.testing.assert_close(fitted[0].weight, fitted[1].weight, rtol=1e-4, atol=1e-6)
    assert fitted[0].weight.abs().max() > 0.01
    for head, kind in zip(fitted, (rows, scipy.sparse.csr_matrix(rows)), strict=True):
        found = list(predictions(Blocks(kind), {"it": head}, views, batch=7))
        predicted = np.concatenate([p["it"] for _, p in found])
        logits = rows @ head.weight.detach().numpy() + head.bias.detach().numpy()
        np.testing.assert_array_equal(predicted, logits.argmax(axis=1))
        np.testing.assert_array_equal(
            np.concatenate([t for t, _ in found]), np.concatenate(Blocks.labels)
        )
