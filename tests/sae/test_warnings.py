"""What training says against an SAE: of every family, and from its config to its scores."""

import json

import pytest
from cache_fixtures import write_cache
from sae_fixtures import mixture_activations

from visae.activations.cache import ActivationCache
from visae.encoding.raw_pass import reduce_raw
from visae.encoding.reductions import SaeReductions
from visae.encoding.sae_pass import encode_activations
from visae.evals import results
from visae.evals.inputs import Job, computed, opened
from visae.evals.provenance import provenance
from visae.sae.checkpoint import load_sae
from visae.sae.families import FAMILIES
from visae.sae.folder import read_warnings
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.training import train_and_save
from visae.tables.tidy import rows_of, scores_table

PLACE = "toy/layer3"
VALUES = {"k": 4, "target_l0": 4, "l1": 0.05}
SPECS = {name: SaeSpec(name, 4, VALUES[FAMILIES[name].sparsity.key]) for name in FAMILIES}
# Nothing is learned: what decoders give of the first codes is further from the data than the mean.
IDLE = TrainingSettings(batch_size=64, learning_rate=1e-9)


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    folder = tmp_path_factory.mktemp("caches") / "results/tiny/activations" / PLACE / "photographs"
    train = write_cache(folder, mixture_activations(40, 12))
    val = write_cache(folder, mixture_activations(20, 12, seed=1), split="val", statistics=False)
    with ActivationCache(train) as cache, ActivationCache(val) as held_out:
        yield cache, held_out


@pytest.mark.parametrize("loss", ["mean", "sum"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_fvu_of_one_or_more_is_told_of_every_family(tmp_path, caches, family, loss):
    settings = TrainingSettings(**vars(IDLE) | {"loss": loss})
    spec = SPECS[family]
    found = train_and_save([spec], *caches, tmp_path, settings, "cpu")[spec.name]
    assert any(each.startswith("FVU ") for each in found)
    assert read_warnings(tmp_path / spec.name) == load_sae(tmp_path / spec.name).warnings == found
    assert any("trained for 8 steps (1 pass) only" in each for each in found)


def test_a_last_window_of_one_step_makes_no_feature_dead(tmp_path, caches):
    """Of 64 features at most 4 fire in a step of 4 tokens."""
    settings = TrainingSettings(batch_size=4, log_interval=119)
    spec = SaeSpec("topk", 8, 1)
    found = train_and_save([spec], *caches, tmp_path, settings, "cpu")[spec.name]
    lines = (tmp_path / spec.name / "training.jsonl").read_text().splitlines()
    dead = [json.loads(line)["dead_fraction"] for line in lines]
    assert len(dead) == 2
    assert dead[0] < 0.9 <= dead[1]
    assert not any("dead" in each for each in found)


def test_the_sentences_reach_the_scores_and_their_table(tmp_path, monkeypatch, caches):
    cache, held_out = caches
    folder = tmp_path / "results/tiny"
    spec = SPECS["batchtopk"]
    found = train_and_save([spec], *caches, folder / "saes" / PLACE, IDLE, "cpu")
    saved = load_sae(folder / "saes" / PLACE / spec.name)
    path, raw = (
        folder / "reductions" / PLACE / name / "photographs/val.h5" for name in (spec.name, "raw")
    )
    encode_activations(
        held_out,
        {spec.name: saved.model},
        {spec.name: path},
        sae_fingerprints={spec.name: saved.fingerprint},
        warnings={spec.name: saved.warnings},
    )
    reduce_raw(held_out, cache.mean, cache.std, raw)
    with SaeReductions(path) as reductions:
        assert reductions.warnings == found[spec.name] != []
    monkeypatch.chdir(tmp_path)
    data = {"evaluation": "photographs/val"}
    given = [p.relative_to(tmp_path) for p in (path, raw)]
    with opened(given, "results/tiny", PLACE, data) as sources:
        with sources.inputs(spec.name, "fvu") as inputs:
            score = computed("fvu", inputs, {}, Job(0, 1, "cpu"))
            about = results.described("toy", 3, spec.name, "main", inputs.warnings)
            of_fvu = folder / "metrics" / PLACE / spec.name / "fvu.json"
            results.write_result(of_fvu, "fvu", score, about, provenance("c0de", inputs.seen, {}))
        with sources.inputs("raw", "retrieval") as inputs:
            inputs.raw()
            assert inputs.warnings == []
    assert results.read_result(of_fvu)["sae"]["warnings"] == found[spec.name]
    rows = scores_table(rows_of([of_fvu])).rows
    told = {row["reading"]: row["warnings"] for row in rows}
    assert told.pop("headline") == "; ".join(found[spec.name])
    assert set(told.values()) == {None}
