"""Labels that nothing can learn: every metric and task is at chance, within its standard error.

And labels that all features tell: each is near its best, so that features meet their own labels.

Labels are drawn apart from all features, of which there are enough to learn any labels by heart. So
whatever is fitted or read on images of the other side lies far above chance. Bounds are `ERRORS`
standard errors, each said where it is used.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cache_fixtures import write_cache

from visae.activations.cache import ActivationCache
from visae.encoding.dense_moran import dense_moran, sum_evaluable
from visae.encoding.largest import LargestCodes
from visae.evals.cross_domain.compute import accuracy_within
from visae.evals.entry import defaults
from visae.evals.inputs import Job, computed
from visae.evals.reads import Data
from visae.evals.segmentation.compute import LabelledPatches, segment_raw, segment_sae
from visae.evals.segmentation.heads import HeadSettings
from visae.evals.shelf import EVALS, entry_name
from visae.probing.rankings import rank_features
from visae.probing.raw_probes import fit_domain_probe, fit_raw_probe
from visae.probing.siblings import SiblingGroup
from visae.probing.splits import stratified_split
from visae.sae.model import SparseAutoencoder

ERRORS = 3
CLASSES, IMAGES, WIDTH, FEATURES = 4, 800, 400, 600
JOB = Job(seed=7, threads=1, device="cpu")
SPLITS = ("eval/val", "other/train", "other/test")


def binomial_error(share, trials):
    """Standard error of a share of independent trials."""
    return np.sqrt(share * (1 - share) / trials)


def auc_error(positives, negatives):
    """Standard error of a ROC-AUC of scores that say nothing (Mann-Whitney)."""
    return np.sqrt((positives + negatives + 1) / (12 * positives * negatives))


class Given:
    """Stands for `Inputs`: features, reconstructions and codes of noise, and labels of noise.

    signal: how far the classes lie apart in all three.
    """

    evaluator, sae, signed = "another", "noise", False
    data = Data(SPLITS[0], cross_domain={"other": SPLITS[1:]})

    def __init__(self, of_raw=False, dataset=None, signal=0.0):
        self.of_raw, self.dataset, self._kept = of_raw, dataset, {}
        self._splits = {}
        for seed, split in enumerate(SPLITS):
            random = np.random.default_rng(seed)
            labels = random.permutation(np.arange(IMAGES) % CLASSES)
            one_hot = signal * np.eye(CLASSES)[labels]
            raw_nd = random.normal(size=(IMAGES, WIDTH)).astype(np.float32)
            raw_nd[:, :CLASSES] += one_hot
            fires = random.random((FEATURES, IMAGES)) < 0.3
            codes_fn = (random.gamma(1.0, 1.0, fires.shape) * fires).astype(np.float16)
            codes_fn[:CLASSES] += one_hot.T.astype(np.float16)
            found = LargestCodes.of_none(FEATURES, IMAGES)
            found.add(np.ascontiguousarray(codes_fn.T, np.float32), 0)
            noise = random.normal(size=raw_nd.shape).astype(np.float32)
            self._splits[split] = SimpleNamespace(
                raw_nd=raw_nd,
                codes=codes_fn,
                largest=found,
                reconstructions_max=lambda recon_nd=raw_nd + noise: recon_nd,
                labels=labels,
            )
        self._held_out = stratified_split(self._splits[SPLITS[0]].labels)

    def encoded(self, split=None):
        return self._splits[split or SPLITS[0]]

    raw = encoded

    def features_max(self, split=None):
        return self.encoded(split).raw_nd

    def held_out(self):
        return self._held_out

    def raw_probe(self, dataset=None):
        if dataset:
            train = self.encoded(f"{dataset}/train")
            return fit_domain_probe(train.raw_nd, train.labels)
        return fit_raw_probe(self.features_max(), self.encoded().labels, self._held_out)

    def rankings(self, dataset=None):
        split = self.encoded(f"{dataset}/train" if dataset else None)
        train = np.ones(IMAGES, bool) if dataset else ~self._held_out
        return rank_features(split.codes, split.labels, train, self.sibling_groups())

    def sibling_groups(self):
        return [SiblingGroup("parent", tuple(range(CLASSES)))]

    def embeddings(self):
        random = np.random.default_rng(9)
        return {name: random.normal(size=(IMAGES, 32)) + 0.3 for name in ("another", "third")}

    def result(self, name):
        return {"readings": {"other_accuracy_reconstructed": 0.25}, "data": {"other": {}},
                "details": {"estimators": {"other": {"reconstructed": ""}}}}  # fmt: skip

    def shared(self, key, build):
        if key not in self._kept:
            self._kept[key] = build()
        return self._kept[key]


DETAILS = {
    "absorption": {"alpha", "beta", "budgets", "most_features", "not_converged"},
    "classification": {"estimator", "converged"},
    "cross_domain": {"headline", "estimators", "converged_raw", "not_converged"},
    "fvu": {"dense_share"},
    "localization": {"grid", "patches", "minimum_active", "minimum_images", "lower_quartile",
                     "upper_quartile", "evaluable_features"},
    "monosemanticity": {"evaluator", "top_images", "baseline_groups", "seed", "pooling"},
    "preservation": {"estimator", "converged"},
    "retrieval": {"similarity", "ties", "tie_tolerance"},
    "segmentation": {"iou_per_class", "head"},
    "sparse_probing": {"budgets", "headline_budget", "estimator", "not_converged"},
}  # fmt: skip
"""What every result says of how it was made."""

DATA = {
    "absorption": {"as_run_tasks", "eligible_tasks", "fits", "groups", "tasks"},
    "classification": {"classes", "features", "test_images", "training_images"},
    "cross_domain": {"other"},
    "fvu": {"tokens", "features"},
    "localization": {"features", "evaluable_features"},
    "monosemanticity": {"features", "images", "live_features", "scored_features",
                        "selected_features"},
    "preservation": {"classes", "images", "test_images", "tested_classes"},
    "retrieval": {"classes", "images", "images_alone_in_class", "images_without_features",
                  "queries"},
    "segmentation": {"classes", "scored_classes",
                     *(f"{part}_{what}" for part in ("training", "test")
                       for what in ("patches", "patches_unlabelled", "classes"))},
    "sparse_probing": {"classes", "eligible_classes", "multinomial_fits", "one_vs_rest_fits",
                       "test_images", "training_images"},
}  # fmt: skip
"""What every result counts."""


def score_of(name, given, **settings):
    """What the eval finds, by the defaults of its settings where none are given."""
    found = computed(name, given, defaults(EVALS[entry_name(name)].settings) | settings, JOB)
    for kind, result in (found if isinstance(found, dict) else {"": found}).items():
        entry = entry_name(name)
        if (entry, kind) == ("classification", "reconstructed"):  # taken over from M6
            assert set(result.details) == {"estimator"}
        elif (entry, kind) == ("classification", "raw"):
            assert set(result.data) == {"test_images", "classes"}
        else:
            assert set(result.data) == DATA[entry]
            assert set(result.details) == DETAILS[entry]
    return found


@pytest.fixture(scope="module")
def noise():
    return Given()


@pytest.fixture(scope="module")
def held_out(noise):
    """How many images are held out."""
    return int(noise.held_out().sum())


def test_every_metric_and_task_is_here():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert set(EVALS) <= tested
    assert set(EVALS) == set(DETAILS) == set(DATA)


def test_preservation(noise, held_out):
    """No probe has seen a test image: each knows all that it has seen by heart."""
    score = score_of("preservation", noise)
    bound = ERRORS * binomial_error(1 / CLASSES, held_out)
    for reading in ("raw", "reconstructed", "retrained"):
        assert abs(score.readings[f"accuracy_{reading}"] - 1 / CLASSES) < bound
    assert score.data["test_images"] == held_out == IMAGES / 5
    by_heart = noise.raw_probe().accuracy(noise.features_max(), noise.encoded().labels)
    assert by_heart > 0.8  # of 80 % training images nearly all


def test_retrieval(held_out):
    """Queries and gallery are the held-out images. A pair counts twice: its error is √2 larger."""
    for of_raw in (True, False):
        chance = (held_out / CLASSES - 1) / (held_out - 1)
        bound = ERRORS * np.sqrt(2) * binomial_error(chance, held_out)
        for result in score_of("retrieval", Given(of_raw)).values():
            assert result.data["images"] == result.data["queries"] == held_out
            assert abs(result.readings["recall_at_1"] - chance) < bound
            assert abs(result.readings["recall_at_5"] - (1 - (1 - chance) ** 5)) < bound


def test_classification():
    """Probes fitted on one split are read on the other."""
    bound = ERRORS * binomial_error(1 / CLASSES, IMAGES)
    raw = score_of("classification_other", Given(True, "other"))
    assert abs(raw["raw"].value - 1 / CLASSES) < bound
    found = score_of("classification_other", Given(False, "other"))
    assert abs(found["codes"].value - 1 / CLASSES) < bound
    assert found["codes"].data["test_images"] == IMAGES


def test_cross_domain(noise):
    """The raw probe, too, is read on the split that it has not seen."""
    score = score_of("cross_domain", noise, headline="other")
    bound = ERRORS * binomial_error(1 / CLASSES, IMAGES)
    for reading in ("accuracy_raw", "accuracy_reconstructed", "accuracy_codes_at_128"):
        assert abs(score.readings[f"other_{reading}"] - 1 / CLASSES) < bound
    area = ERRORS * auc_error(IMAGES / CLASSES, IMAGES * (1 - 1 / CLASSES))
    assert abs(score.readings["other_auc_codes_at_128"] - 0.5) < area
    train, test = SPLITS[1:]
    probe = noise.raw_probe("other")
    assert probe.accuracy(noise.features_max(train), noise.encoded(train).labels) > 0.8
    # Both accuracies of `as_run` are of a fifth of the test split.
    labels = noise.encoded(test).labels
    raw, recon = (
        accuracy_within(x_nd, labels, JOB.seed)
        for x_nd in (noise.features_max(test), noise.encoded(test).reconstructions_max())
    )
    for within in (raw, recon):
        assert abs(within - 1 / CLASSES) < ERRORS * binomial_error(1 / CLASSES, IMAGES / 5)
    assert score.readings["as_run"] == score.readings["other_as_run"] == recon / raw


def test_sparse_probing(noise, held_out):
    """By the ranking of training images; `as_run`, whose ranking has seen all images, is above."""
    score = score_of("sparse_probing", noise)
    area = ERRORS * auc_error(held_out / CLASSES, held_out * (1 - 1 / CLASSES))
    share = ERRORS * binomial_error(1 / CLASSES, held_out)
    assert abs(score.value - 0.5) < area
    for k in (1, 16, 128, 512):
        assert abs(score.readings[f"auc_at_{k}"] - 0.5) < area
        assert abs(score.readings[f"accuracy_at_{k}"] - 1 / CLASSES) < share
        precision = score.readings[f"average_precision_at_{k}"]
        assert abs(precision - 1 / CLASSES) < share
    assert score.readings["as_run_accuracy_at_128"] > 1 / CLASSES + share


def test_absorption(noise, held_out):
    """No class is told from its siblings: none is absorbed, and no F1 is above that of a guess.

    A guess that takes every image for positive has F1 = 2q / (1 + q), q the positives' share.
    """
    score = score_of("absorption", noise)
    assert score.value == 0
    guess = 2 / CLASSES / (1 + 1 / CLASSES)
    bound = guess + ERRORS * binomial_error(guess, held_out)
    assert score.arrays["f1_four"].max() < bound
    assert score.data["eligible_tasks"] == CLASSES


def test_monosemanticity(noise):
    """Images that a feature likes are as alike as any, and of one class as often as any.

    The error of a mean over features is that of features; the share's that of all pairs' labels.
    """
    score = score_of("monosemanticity", noise, features=FEATURES)
    assert score.details["seed"] == JOB.seed
    values = score.arrays["monosemanticity"]
    error = values.std(ddof=1) / np.sqrt(values.size) / (1 - score.readings["baseline"])
    assert abs(score.value) < ERRORS * np.sqrt(2) * error  # the baseline's groups are as many
    share = score.arrays["within_share"]
    chance = (IMAGES / CLASSES - 1) / (IMAGES - 1)
    assert abs(share.mean() - chance) < ERRORS * share.std(ddof=1) / np.sqrt(share.size)
    apart = score.arrays["within"] - score.arrays["between"]
    assert abs(np.nanmean(apart)) < ERRORS * np.nanstd(apart, ddof=1) / np.sqrt(apart.size)


def test_labels_that_all_features_tell_are_read():
    known = Given(signal=25.0)
    found = {
        **score_of("preservation", known).readings,
        **score_of("cross_domain", known, headline="other").readings,
        "auc": score_of("sparse_probing", known, budgets=[8]).value,
        "codes": score_of("classification_other", Given(False, "other", 25.0))["codes"].value,
        "raw": score_of("classification_other", Given(True, "other", 25.0))["raw"].value,
    }
    for of_raw in (True, False):
        for kind, result in score_of("retrieval", Given(of_raw, signal=25.0)).items():
            found[f"retrieval_{kind}"] = result.value
    assert {name for name, value in found.items() if not 0.97 < value < 1.03} == set()
    assert len(found) == 17
    share = score_of("monosemanticity", known, features=FEATURES).arrays["within_share"]
    assert share[:CLASSES].min() == 1
    assert score_of("absorption", known).readings["mean_f1_one"] > 0.97


def test_fvu():
    """Reads no label, and is 1 for a reconstruction that knows nothing but the mean."""
    x_td = np.random.default_rng(0).normal(size=(500, 8))
    left = ((x_td - x_td.mean(axis=0)) ** 2).sum()
    raw = SimpleNamespace(total_squares=left, token_mean=x_td.mean(axis=0))
    encoded = SimpleNamespace(
        squared_error=left, residual_sum=0.0, firing_count=np.ones(3, int), tokens=500, l0_sum=3
    )
    given = SimpleNamespace(sae="noise", encoded=lambda: encoded, raw=lambda: raw)
    assert score_of("fvu", given).value == pytest.approx(1)


def test_localization():
    """Reads no label, and of maps of noise the mean is the null within its standard error (z)."""
    generator = torch.Generator().manual_seed(0)
    maps_npf = torch.rand(60, 64, 40, generator=generator)
    moran = dense_moran(maps_npf, (8, 8), 1e-8)
    sums, images = sum_evaluable(moran, (maps_npf > 0).sum(dim=1), [5, 1, 20])
    encoded = SimpleNamespace(
        moran_sum=sums.numpy(), moran_images=images.numpy(), minimum_active=[5, 1, 20], grid=(8, 8)
    )
    given = SimpleNamespace(sae="noise", encoded=lambda: encoded)
    score = score_of("localization", given)
    assert abs(score.readings["z"]) < ERRORS
    assert score.readings["null"] == -1 / 63
    assert abs(score.value - score.readings["null"]) < 0.01


def test_segmentation(tmp_path):
    """Heads know their training patches by heart and nothing of the others.

    Of C equally frequent classes a guess has IoU 1 / (2C − 1).
    """
    random = np.random.default_rng(0)
    parts = []
    for name, images in (("train", 12), ("val", 60)):
        activations = random.normal(size=(images, 12, 200)).astype(np.float16)
        cache = ActivationCache(write_cache(tmp_path, activations, split=name))
        labels = random.permutation(np.arange(images * 12) % CLASSES).reshape(images, 12)
        parts.append(LabelledPatches(cache, labels.astype(np.int16)))
    train, test = parts
    eye = torch.eye(200)
    sae = SparseAutoencoder(eye, torch.zeros(200), eye, torch.zeros(()), torch.zeros(200),
                            torch.ones(()))  # fmt: skip
    names, head = list("abcd"), HeadSettings(epochs=60, batch=64)
    own = segment_raw(train, train, names, np.zeros(200), 1.0, head)
    assert own.readings["patch_accuracy"] > 0.9
    found = {"raw": segment_raw(train, test, names, np.zeros(200), 1.0, head)}
    found |= segment_sae(train, test, names, sae, head)
    patches = test.labels_np.size
    for result in found.values():
        assert set(result.details) == DETAILS["segmentation"]
        assert set(result.data) == DATA["segmentation"]
        accuracy = result.readings["patch_accuracy"]
        assert abs(accuracy - 1 / CLASSES) < ERRORS * binomial_error(1 / CLASSES, patches)
        guess = 1 / (2 * CLASSES - 1)
        assert abs(result.value - guess) < ERRORS * binomial_error(guess, patches)
        assert result.data["test_patches"] == patches
    for part in parts:
        part.cache.close()
