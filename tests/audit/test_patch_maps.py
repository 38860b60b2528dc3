"""Examples of features: the right images, and on them what a dense computation gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cache_fixtures import random_activations, write_cache
from PIL import Image

from visae.activations.cache import ActivationCache
from visae.audit.examples import read_examples, write_examples
from visae.audit.patch_maps import IMAGES, feature_examples, patch_maps, read_images
from visae.backbones.preprocessing import Preprocessing
from visae.base.errors import UserError
from visae.encoding.reductions import SaeReductions
from visae.encoding.sae_pass import encode_activations
from visae.sae.checkpoint import SavedSae
from visae.sae.model import SparseAutoencoder

N, GRID, WIDTH, FEATURES = 22, (3, 4), 5, 16
PREPROCESSING = Preprocessing("shortest", 12, (6, 8), "bilinear", (0.5,) * 3, (0.5,) * 3)


def small_sae(threshold):
    """An SAE with random weights; a threshold per feature where `threshold` is an array."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(FEATURES, WIDTH, generator=generator)
    return SparseAutoencoder(
        encoder_weight=weight,
        encoder_bias=torch.randn(FEATURES, generator=generator),
        decoder_weight=torch.nn.functional.normalize(weight, dim=1),
        threshold=torch.as_tensor(threshold, dtype=torch.float32),
        activation_mean=torch.linspace(1, 5, WIDTH),
        activation_std=torch.tensor(1.5),
    )


def dense_codes(sae, activations_npd):
    """Codes [N, P, F] by the formula in docs/formats.md, in double precision."""
    x = (activations_npd.astype(np.float64) - sae.activation_mean.numpy()) / 1.5
    pre = x @ sae.encoder_weight.numpy().T.astype(np.float64) + sae.encoder_bias.numpy()
    return np.where((pre > 0) & (pre >= sae.threshold.numpy()), pre, 0)


@pytest.fixture(params=["scalar", "per feature"])
def encoded(request, tmp_path):
    """(activations, SavedSae, cache, reductions, image paths): 3 shards, 6 chunks."""
    threshold = 1.0 if request.param == "scalar" else np.linspace(0.2, 2, FEATURES)
    sae, activations = small_sae(threshold), random_activations(N, 12, WIDTH)
    path = write_cache(
        tmp_path, activations, shards=3, statistics=False, preprocessing=PREPROCESSING.record()
    )
    random, paths = np.random.default_rng(0), {}
    for number in range(N):
        paths[f"image-{number:06d}"] = tmp_path / f"{number}.png"
        pixels = random.integers(0, 256, (14, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    with ActivationCache(path) as cache:
        encode_activations(
            cache, {"s": sae}, {"s": tmp_path / "s.h5"}, sae_fingerprints={"s": "f" * 16}
        )
        with SaeReductions(tmp_path / "s.h5") as reductions:
            yield activations, SavedSae(sae, {}, "f" * 16), cache, reductions, paths


def test_examples_are_the_top_images_with_their_dense_codes(encoded):
    activations, sae, cache, reductions, paths = encoded
    codes_npf = dense_codes(sae.model, activations)
    moran = np.linspace(-0.1, 0.5, FEATURES)
    for first, second in ((3, 11), (11, 3), (5, 5)):
        features = {"mean-representative": first, "top 5 %": second}
        examples = feature_examples(features, moran, reductions, cache, sae, paths)
        assert list(examples) == list(features)
        for kind, feature in features.items():
            example, largest = examples[kind], codes_npf[..., feature].max(axis=1)
            top = np.argsort(-largest, kind="stable")[:IMAGES]
            assert example["image_ids"] == [f"image-{number:06d}" for number in top]
            expected = codes_npf[top, :, feature].reshape(-1, *GRID)
            np.testing.assert_allclose(example["maps"], expected, rtol=1e-5)
            assert (expected == 0).any()
            assert (example["feature"], example["moran"]) == (feature, moran[feature])
            for image, name in zip(example["images"], example["image_ids"], strict=True):
                seen = PREPROCESSING.pixels(Image.open(paths[name]))
                np.testing.assert_array_equal(image, seen.transpose(1, 2, 0))


def test_the_map_of_an_image_peaks_at_its_pooled_code(encoded):
    _, sae, cache, reductions, _ = encoded
    for feature in range(FEATURES):
        maps = patch_maps(sae.model, {feature: np.arange(N)}, cache)[feature]
        np.testing.assert_allclose(maps.max(axis=(1, 2)), reductions.codes[feature], rtol=1e-3)


def test_images_without_the_feature_are_no_examples(encoded, tmp_path):
    activations, sae, cache, _, paths = encoded
    codes = dense_codes(sae.model, activations)[..., 4].max(axis=1)
    second = np.sort(codes)[-2]
    thresholds = sae.model.threshold.expand(FEATURES).clone()
    thresholds[4] = float(second) - 1e-4
    picky = replace(sae.model, threshold=thresholds)
    encode_activations(
        cache, {"s": picky}, {"s": tmp_path / "picky.h5"}, sae_fingerprints={"s": sae.fingerprint}
    )
    with SaeReductions(tmp_path / "picky.h5") as reductions:
        found = feature_examples(
            {"top 5 %": 4}, np.zeros(FEATURES), reductions, cache, sae._replace(model=picky), paths
        )
    assert len(found["top 5 %"]["image_ids"]) == len(found["top 5 %"]["maps"]) == 2


def test_images_are_read_in_any_order_from_their_chunks_only(encoded, monkeypatch):
    activations, _, cache, _, _ = encoded
    numbers, read = [21, 0, 2, 9, 0], []
    whole = cache.read_chunk
    monkeypatch.setattr(cache, "read_chunk", lambda number: read.append(number) or whole(number))
    found = dict(read_images(cache, numbers))
    assert found.keys() == set(numbers)
    for number, activations_pd in found.items():
        np.testing.assert_array_equal(activations_pd, activations[number])
    assert len(read) == len(set(read)) == 3


def test_reductions_of_another_sae_are_refused(encoded):
    _, sae, cache, reductions, paths = encoded
    other = sae._replace(fingerprint="0" * 16)
    with pytest.raises(UserError, match="was not computed by this SAE"):
        feature_examples({"top 5 %": 1}, np.zeros(FEATURES), reductions, cache, other, paths)


def test_examples_come_back_as_written(encoded, tmp_path):
    _, sae, cache, reductions, paths = encoded
    features = {"top 5 %": 2, "mean-representative": 7}
    examples = feature_examples(features, np.ones(FEATURES), reductions, cache, sae, paths)
    for name in ("a.h5", "b/a.h5"):
        write_examples(tmp_path / name, examples, {"backbone": "toy", "layer": 3})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b/a.h5").read_bytes()
    about, found = read_examples(tmp_path / "a.h5")
    assert about == {"backbone": "toy", "layer": 3}
    assert found.keys() == examples.keys()
    for kind, example in examples.items():
        assert found[kind].keys() == example.keys()
        for name, value in example.items():
            np.testing.assert_array_equal(found[kind][name], value)


def test_file_without_examples_is_refused(encoded, tmp_path):
    _, _, cache, reductions, _ = encoded
    for path in (reductions.path, cache.path, tmp_path / "missing.h5"):
        with pytest.raises(UserError, match=r"visae-examples-3|is missing"):
            read_examples(path)


def test_no_evaluable_feature_gives_no_example(encoded, tmp_path):
    _, sae, cache, reductions, paths = encoded
    found = feature_examples({}, np.full(FEATURES, np.nan), reductions, cache, sae, paths)
    write_examples(tmp_path / "none.h5", found, {"backbone": "toy"})
    assert read_examples(tmp_path / "none.h5") == ({"backbone": "toy"}, {})
