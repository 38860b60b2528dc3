"""Imported SAEs through the encoding pass: errors are those of the activations, for every rule."""

import numpy as np
import pytest
import torch
from cache_fixtures import write_cache
from checkpoint_fixtures import CHECKPOINTS, READ, UNMEASURED, reading

from visae.activations.cache import ActivationCache
from visae.activations.opening import read_statistics
from visae.encoding.raw_pass import reduce_raw
from visae.encoding.reductions import RawReductions, SaeReductions
from visae.encoding.sae_pass import encode_activations
from visae.evals.results import Result
from visae.evals.shelf import EVALS
from visae.evals.signed import REASON, only_defined
from visae.sae.checkpoint import load_sae
from visae.sae.exchange.importing import import_sae
from visae.sae.specs import TrainingSettings


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """(activations [T, D], {checkpoint: (SavedSae, its reductions)}, the raw reductions).

    The activations carry the study's statistics: `mean_of_study` [D] and `std_of_study`.
    """
    folder = tmp_path_factory.mktemp("scored")
    generator = np.random.default_rng(0)
    parts = {}
    for split, images in {"train": 12, "val": 12, "test": 9}.items():
        activations = generator.normal(0.3, 1.2, (images, 12, 24)).astype(np.float16)
        path = write_cache(folder / split, activations, split=split, statistics=split == "train")
        parts[split] = activations, path
    saes = {}
    with (
        ActivationCache(parts["train"][1]) as cache,
        ActivationCache(parts["val"][1]) as held_out,
    ):
        for name in READ:
            destination = folder / "saes" / name
            said = reading(name, hook_point="block_output")
            import_sae(CHECKPOINTS / name, destination, said, cache, held_out, TrainingSettings())
            saes[name] = load_sae(destination)
    statistics = read_statistics(parts["train"][1])
    paths = {name: folder / f"{name.replace('/', '-')}.h5" for name in READ}
    with ActivationCache(parts["test"][1]) as cache:
        reduce_raw(cache, *statistics, folder / "raw.h5")
        encode_activations(
            cache,
            {name: sae.model for name, sae in saes.items()},
            paths,
            sae_fingerprints={name: sae.fingerprint for name, sae in saes.items()},
            statistics=statistics,
        )
    activations = torch.from_numpy(parts["test"][0]).flatten(0, 1).float()
    activations.mean_of_study = torch.from_numpy(statistics[0]).float()
    activations.std_of_study = statistics[1]
    return activations, {name: (saes[name], paths[name]) for name in READ}, folder / "raw.h5"


@pytest.mark.parametrize("name", READ)
def test_the_unexplained_variance_is_that_of_the_activations(encoded, name):
    activations, saes, raw_path = encoded
    saved, path = saes[name]
    model = saved.model
    codes = model.encode(model.normalise(activations))
    reconstruction = model.denormalise(model.decode(codes), activations)
    expected = (activations - reconstruction).square().sum()
    expected /= (activations - activations.mean(dim=0)).square().sum()
    with SaeReductions(path) as reductions, RawReductions(raw_path) as raw:
        found = reductions.squared_error / raw.total_squares
        assert found == pytest.approx(float(expected), rel=1e-4)
        assert reductions.l0_sum == codes.count_nonzero()
        assert reductions.signed == bool((codes < 0).any())
        left = (activations - reconstruction) / activations.std_of_study
        sums = left.double().sum(), left.double().abs().sum()
        assert reductions.residual_sum == pytest.approx(float(sums[0]), abs=1e-5 * float(sums[1]))
        units = (reconstruction - activations.mean_of_study) / activations.std_of_study
        largest = units.unflatten(0, (9, 12)).amax(dim=1).numpy()
        np.testing.assert_allclose(reductions.reconstructions_max(), largest, rtol=1e-4, atol=1e-4)
        pooled = codes.abs().unflatten(0, (9, 12)).amax(dim=1).T.numpy()
        np.testing.assert_allclose(reductions.codes[:], pooled, rtol=2e-3, atol=1e-6)


def test_checkpoints_of_one_fingerprint_compute_the_same(encoded):
    activations, saes, _ = encoded
    first = {}
    for saved, _ in saes.values():
        model, other = saved.model, first.setdefault(saved.fingerprint, saved.model)
        codes = model.encode(model.normalise(activations))
        assert torch.equal(codes, other.encode(other.normalise(activations)))
    assert len(first) > 50
    assert all(saes[name][0].config["source"]["threshold"] == "measured" for name in UNMEASURED)


def test_a_value_that_signs_leave_undefined_is_null_with_the_reason():
    result = Result(0.3, readings={"rook": 0.2}, data={"n": 3})
    undefined = only_defined(result, EVALS["localization"])
    assert (undefined.value, undefined.reason) == (None, REASON)
    assert undefined.readings == {"rook": None}
    assert undefined.data == {"n": 3}
    assert only_defined(result, EVALS["fvu"]) == result
    of_task = only_defined({"reconstructed": result, "codes": result}, EVALS["retrieval"])
    assert of_task == {"reconstructed": result, "codes": undefined}
