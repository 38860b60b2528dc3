"""Edits against the formula, and telling features against NumPy and the ANOVA F."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from backbone_fixtures import ONE_PER_LOADER, small_spec, some_images
from hypothesis import given, settings
from hypothesis import strategies as st

from visae.backbones import build_backbone
from visae.backbones.continuing import Continuation
from visae.interventions.edits import Edit, mean_suppression, suppression
from visae.interventions.telling import ClassSums, best_feature
from visae.sae.model import INPUT_NORMALISATIONS, SparseAutoencoder

FEATURES, WIDTH = 24, 32


def random_sae(seed=0, **changes):
    generator = torch.Generator().manual_seed(seed)
    sae = SparseAutoencoder(
        torch.randn(FEATURES, WIDTH, generator=generator),
        torch.randn(FEATURES, generator=generator),
        3 * torch.randn(FEATURES, WIDTH, generator=generator),  # rows as published: not of length 1
        torch.tensor(0.5),
        torch.randn(WIDTH, generator=generator),
        torch.tensor(1.7),
    )
    return replace(sae, **changes)


def activations(count=3, patches=16):
    return torch.randn(count, patches, WIDTH, generator=torch.Generator().manual_seed(5)) + 1


ALL = torch.ones(16, dtype=torch.bool)


@pytest.mark.parametrize("normalisation", INPUT_NORMALISATIONS)
@pytest.mark.parametrize("rule", ["threshold", "topk", "signed_topk"])
def test_suppressing_is_decoding_edited_codes(normalisation, rule):
    """x + s · (â(edited) − â(codes)), where â is what the SAE itself reconstructs."""
    sae = random_sae(input_normalisation=normalisation, activation=rule, k=6)
    x = activations()
    codes = sae.encode(sae.normalise(x))
    feature = int((codes != 0).sum(dim=(0, 1)).argmax())
    edited = codes.clone()
    edited[..., feature] = 0
    expected = sae.denormalise(sae.decode(edited), x) - sae.denormalise(sae.decode(codes), x)
    assert expected.abs().max() > 0.1
    edit = suppression(sae, feature, x, codes[..., feature], ALL)
    tokens = torch.cat([torch.ones(3, 2, WIDTH), x], dim=1)
    for strength in (1.0, -2.5):
        found = edit.applied(tokens, slice(0, 3), strength)
        torch.testing.assert_close(found[:, 2:], x + strength * expected, rtol=1e-3, atol=1e-4)
        assert torch.equal(found[:, :2], tokens[:, :2])


@pytest.mark.parametrize("kind", ONE_PER_LOADER)
def test_a_silent_code_leaves_every_logit_as_it_is(kind):
    """Of both heads, of each loader, bit by bit; a code that is there changes them."""
    backbone, sae = build_backbone(small_spec(kind)), random_sae()
    continuation, images = Continuation(backbone, 1), some_images(3)
    tokens = continuation.tokens(images)
    patches = tokens[:, backbone.prefix_tokens :]
    head = torch.randn(WIDTH, 5, generator=torch.Generator().manual_seed(2))
    before = continuation(images, tokens)
    for code in (0.0, 1.0):
        edit = suppression(sae, 0, patches, torch.full((3, 16), code), ALL)
        after = continuation(images, edit.applied(tokens, slice(0, 3), 4.0))
        assert torch.equal(before.patches @ head, after.patches @ head) == (code == 0)
        assert torch.equal(before.class_token @ head, after.class_token @ head) == (code == 0)


def test_controls_have_the_size_of_the_feature():
    x, sae = activations(), random_sae()
    codes = sae.encode(sae.normalise(x))
    own = suppression(sae, 3, x, codes[..., 3], ALL)
    lengths = (own.amounts_np[..., None] * own.direction_d).norm(dim=-1)
    other = own.turned(torch.randn(WIDTH))
    assert torch.equal(own.amounts_np, other.amounts_np)
    torch.testing.assert_close(other.direction_d.norm(), torch.tensor(1.0))
    torch.testing.assert_close(lengths, codes[..., 3] * sae.decoder_weight[3].norm() * 1.7)
    mean = mean_suppression(torch.ones(WIDTH), torch.zeros(WIDTH), x, ALL, own.size)
    assert mean.size == pytest.approx(own.size, rel=1e-5)
    assert (mean.amounts_np >= 0).all()


def test_the_mean_direction_takes_away_what_lies_beyond_the_others():
    x = torch.zeros(1, 16, WIDTH)
    x[0, 0, 0], x[0, 1, 0], x[0, 2, 1] = 5.0, -5.0, 5.0
    others = torch.zeros(WIDTH)
    others[0] = 1.0
    mean = others.clone()
    mean[0] = 3.0
    edit = mean_suppression(mean, others, x, ALL, 8.0)
    assert edit.direction_d.tolist() == [1.0] + [0.0] * 31
    assert edit.amounts_np[0].tolist() == pytest.approx([8.0] + [0.0] * 15)


def test_patches_that_are_not_chosen_are_not_edited():
    x, sae = activations(), random_sae()
    codes = sae.encode(sae.normalise(x))[..., 3]
    chosen = torch.zeros(16, dtype=torch.bool)
    chosen[[2, 7]] = True
    edit = suppression(sae, 3, x, codes, chosen)
    assert (edit.amounts_np != 0).any()
    assert not edit.amounts_np[:, ~chosen].any()
    nothing = Edit(edit.direction_d, torch.zeros(3, 16))
    assert nothing.is_nothing(slice(0, 3))
    assert not edit.is_nothing(slice(0, 3))


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 4), blocks=st.integers(1, 3))
def test_correlations_are_numpys(seed, classes, blocks):
    random = np.random.default_rng(seed)
    codes = np.maximum(random.normal(size=(40, 7)), 0).astype(np.float32)
    codes[:, 2] = 0  # dead
    codes[:, 3] = random.uniform(0.01, 50)  # live, and the same everywhere
    labels = random.integers(-1, classes, 40)
    labels[:classes] = range(classes)
    sums = ClassSums(classes, 7)
    for part in np.array_split(np.arange(40), blocks):
        sums.add(torch.from_numpy(codes[part]), torch.from_numpy(labels[part]))
    found, known = sums.correlations(), labels >= 0
    assert sums.counts.tolist() == [(labels == label).sum() for label in range(classes)]
    assert sums.live.tolist() == (codes[known] != 0).any(axis=0).tolist()
    assert np.isnan(found[:, [2, 3]]).all()
    for label in range(classes):
        for feature in (0, 1, 4, 5, 6):
            values, inside = codes[known, feature], labels[known] == label
            if values.std() and 0 < inside.mean() < 1:
                expected = np.corrcoef(values, inside)[0, 1]
                assert found[label, feature] == pytest.approx(expected, abs=1e-6)
        mine, others = sums.means(label) if known.sum() > (labels == label).sum() else (None, None)
        if mine is not None:
            own, rest = codes[labels == label], codes[known & (labels != label)]
            np.testing.assert_allclose(mine, own.mean(axis=0, dtype=float), atol=1e-6)
            np.testing.assert_allclose(others, rest.mean(axis=0, dtype=float), atol=1e-6)


def test_a_feature_that_is_silent_on_a_class_does_not_tell_it():
    assert best_feature(np.array([-0.9, np.nan, 0.2, 0.2])) == 2
    assert best_feature(np.array([-0.9, np.nan])) is None


@given(code=st.floats(0.01, 50), first=st.integers(1, 2000), second=st.integers(1, 2000))
def test_a_constant_code_tells_nothing(code, first, second):
    sums = ClassSums(2, 1)
    labels = torch.repeat_interleave(torch.arange(2), torch.tensor([first, second]))
    sums.add(torch.full((first + second, 1), code), labels)
    assert [best_feature(of_class) for of_class in sums.correlations()] == [None, None]
