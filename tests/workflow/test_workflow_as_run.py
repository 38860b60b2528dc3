"""A small study with every setting of the paper's public code at once, from images to a figure."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from study_fixtures import as_run_config, demo_config
from workflow_fixtures import (
    copy_repository,
    run_command,
    snakemake,
    study_folder,
    tiny_config,
)

from visae.activations.cache import ActivationCache
from visae.encoding.reductions import RawReductions
from visae.sae.checkpoint import load_sae

SAE = "batchtopk_2x_k8"
SCORES = "results/tiny/tables/scores/main.csv"
MADE = (SCORES, "results/tiny/tables/as_run_table.json", "results/tiny/figures/as_run_figure.png")
MAE, OTHER = "mae_small", "siglip_small"
WIDTH = 96


def study(data):
    """The settings of as_run.yaml on two backbones and the pictures of another study."""
    config = tiny_config(downstream=None, interventions=None, report={"claims": "never"})
    as_run = as_run_config()
    for name, images in {"photographs": (216, 270), "digits": (60, 60)}.items():
        entry = config["datasets"][name] | {"root": str(data / name), "generated": False}
        both = zip(entry["splits"], images, strict=True)
        entry["splits"] = {split: {"images": number} for split, number in both}
        config["datasets"][name] = entry
    del config["datasets"]["mosaics"]
    config["backbones"] = {}
    for name, evaluator in ((MAE, OTHER), (OTHER, MAE)):
        entry = demo_config()["backbones"][name] | {"evaluator": evaluator}
        del entry["pretraining"]  # its weights are random
        config["backbones"][name] = entry
    config["backbones"][MAE]["token_order"] = as_run["backbones"]["mae"]["token_order"]
    config["sweeps"]["main"]["grid"] = {"expansion_factor": [2], "k": [4, 8]}
    config["extraction"] = as_run["extraction"] | {"chunk_images": 15}
    own = {"batch_size": 128, "log_interval": 20, "ragged_images": 45, "threshold_images": 84}
    config["training"] = {
        **as_run["training"],
        **{key: config["training"][key] for key in ("dataset", "split", "threshold_split")},
        **own,
    }
    config["evaluation"] |= {"statistics": as_run["evaluation"]["statistics"]}
    return config


@pytest.fixture(scope="module")
def folder(shared, finished):
    """A copy of the repository in which the study has run."""

    def build(folder):
        config = study(finished / "results/tiny/data")
        snakemake(copy_repository(folder), "--", *MADE, config=config)

    return shared("as_run", build)


def cache(folder, split, place=f"{MAE}/layer3"):
    return ActivationCache(study_folder(folder) / "activations" / place / f"photographs/{split}.h5")


def test_it_has_every_setting_of_the_public_code(folder):
    sae = study_folder(folder) / f"saes/{MAE}/layer3/{SAE}"
    config = yaml.safe_load((sae / "config.yaml").read_text())
    training = config["training"]
    assert (training["gradient_clip"], training["precision"]) == (None, "float32")
    assert (training["ragged_images"], training["threshold_rule"]) == (45, "batch_minimum")
    assert config["data"]["token_order"] == "forward"
    assert config["data"]["statistics"] == "photographs/val"
    last = json.loads((sae / "training.jsonl").read_text().splitlines()[-1])
    # 45 images of 64 patches are 22.5 batches: 4 shards of 23 steps, and one of 36 images.
    assert (last["step"], last["tokens"]) == (4 * 23 + 18, 216 * 64)
    assert last["clipped_fraction"] == 0


@pytest.mark.parametrize("place", [f"{MAE}/layer3", f"{OTHER}/layer3"])
def test_validation_activations_have_their_own_statistics(folder, place):
    saved = load_sae(study_folder(folder) / "saes" / place / SAE)
    for split, same in (("val", True), ("train", False)):
        with cache(folder, split, place) as activations:
            chunks = range(len(activations.chunks))
            tokens = np.concatenate([activations.read_chunk(n) for n in chunks]).astype(np.float64)
        tokens = tokens.reshape(-1, tokens.shape[-1])
        mean, std = tokens.mean(axis=0), np.sqrt(tokens.var(axis=0).mean())
        found = saved.model.activation_mean.numpy()
        assert np.allclose(found, mean, rtol=1e-5, atol=1e-5 * std) == same
        assert np.isclose(float(saved.model.activation_std), std, rtol=1e-5) == same
    # So do raw features, with mean 0 and variance 1; those of another domain have the same units.
    reductions = study_folder(folder) / "reductions" / place
    with RawReductions(reductions / "raw/photographs/val.h5") as raw:
        assert np.abs(raw.token_mean).max() < 1e-4
        assert raw.total_squares / (raw.tokens * WIDTH) == pytest.approx(1, rel=1e-4)
    with RawReductions(reductions / "raw/digits/test.h5") as raw:
        assert abs(raw.total_squares / (raw.tokens * WIDTH) - 1) > 0.05


def test_the_threshold_is_that_of_batches_of_activations_so_normalised(folder):
    saved = load_sae(study_folder(folder) / f"saes/{MAE}/layer3/{SAE}")
    with cache(folder, "val") as activations:
        chosen = np.arange(84) * activations.images // 84
        chunks = range(len(activations.chunks))
        tokens = np.concatenate([activations.read_chunk(n) for n in chunks])[chosen]
    model = saved.model
    x = (tokens.reshape(-1, WIDTH).astype(np.float32) - model.activation_mean.numpy()) / float(
        model.activation_std
    )
    codes = np.maximum(x @ model.encoder_weight.numpy().T + model.encoder_bias.numpy(), 0)
    smallest = [
        np.sort(b[b > 0])[-min(8 * 128, (b > 0).sum())] for b in codes.reshape(-1, 128, 2 * WIDTH)
    ]
    assert float(model.threshold) == pytest.approx(np.mean(smallest), rel=1e-4)


def test_the_table_reads_every_metric_as_it_was_run(folder):
    rows = json.loads((folder / MADE[1]).read_text())["rows"]
    known = {row["metric"] for row in rows if row["change"] is not None}
    assert {"fvu", "preservation", "sparse_probing", "monosemanticity", "cross_domain"} <= known
    assert {row["switched"] for row in rows} == {"reading"}


def test_an_arm_computes_what_hangs_on_its_setting(folder):
    config = yaml.safe_load((folder / "study.yaml").read_text())
    config["arms"] = {
        "training_statistics": {"evaluation": {"statistics": "training"}},
        "raster": {"backbones": {MAE: {"token_order": "raster"}}},
    }
    (folder / "arms.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    expected = {
        "training_statistics": {"join_all": 2, "reduce_raw_all": 2, "train_main": 2},
        "raster": {"extract_all": 1, "join_all": 1, "reduce_raw_all": 1, "train_main": 1},
    }
    before = {"index_photographs", "extract_all", "join_all", "reduce_raw_all", "train_main"}
    for arm, jobs in expected.items():
        script = [sys.executable, "workflow_scripts/switch_setting.py", "arms.yaml", arm]
        environment = os.environ | {"PYTHONPATH": str(folder / "workflow_scripts")}
        place = subprocess.check_output(script, cwd=folder, env=environment, text=True).strip()
        run = run_command(
            folder,
            [
                *("snakemake", "-n", "-q", "rules", "--cores", "1", "--directory", place),
                *("--configfile", f"{place}/study.yaml"),
                *("--rerun-triggers", "mtime", "params", "input", "--", SCORES),
            ],
        )
        rows = re.findall(r"^(\w+) +(\d+)$", run.stdout, flags=re.MULTILINE)
        assert {rule: int(count) for rule, count in rows if rule in before} == jobs, run.stdout
