"""A folder of pictures without labels, on one backbone with one SAE, from plan to report."""

import csv
import re

import numpy as np
import pytest
from PIL import Image
from workflow_fixtures import copy_repository, plan, small_config, snakemake

NEEDS_LABELS = {"preservation", "sparse_probing", "absorption"}


def own_config(root):
    """Default metrics and tasks; the evaluator is in no sweep."""
    config = small_config() | {"study": "own", "report": {}, "downstream": {}}
    config["datasets"] = {
        "own": {
            "layout": "imagefolder",
            "root": str(root),
            "labels": "none",
            "splits": {"train": {"share": 0.7}, "val": {"share": 0.3}},
        }
    }
    config["sweeps"] = {
        "main": {
            "family": "batchtopk",
            "backbones": ["dino_small"],
            "grid": {"expansion_factor": [2], "k": [8]},
        }
    }
    for section in ("training", "evaluation"):
        config[section] = config[section] | {"dataset": "own"}
    config["metrics"] |= {
        "localization": {"minimum_images": 2},
        "monosemanticity": {"top_images": 12},  # of 12 images
    }
    return config


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A copy of the repository in which the study has run, and the jobs that were planned."""
    folder = copy_repository(tmp_path_factory.mktemp("own"))
    random = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for number in range(40):
        picture = np.kron(random.integers(0, 255, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(picture).save(folder / "pictures" / f"IMG_{number:03d}.png")
    config = own_config(folder / "pictures")
    jobs = plan(folder, config=config)
    snakemake(folder)
    return folder / "results/own", jobs


def test_no_job_reads_labels(own):
    _, jobs = own
    assert "split_images" not in jobs
    assert not [rule for rule in jobs if rule.startswith(("rank", "fit_raw", "evaluate_raw"))]
    assert jobs["evaluate_main_metrics"] == jobs["figure_5"] == jobs["report"] == 1


def test_scores_are_null_with_the_reason_where_labels_are_needed(own):
    results, _ = own
    with open(results / "tables/scores.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["reading"] == "headline"]
    found = {row["metric"]: (row["value"], row["reason"]) for row in rows}
    reason = "needs labels: data set own has none"
    assert {metric for metric, known in found.items() if known == ("", reason)} == NEEDS_LABELS
    for metric in ("localization", "fvu", "monosemanticity"):
        assert np.isfinite(float(found[metric][0])), metric


def test_report_leads_with_what_there_is_and_names_the_rest(own):
    results, _ = own
    page = (results / "report/index.html").read_text("utf-8")
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    lead, rest = text.index("Best of each metric"), text.index("Not made What this study")
    assert lead < rest
    assert "M3 Preservation, M4 Sparse probing, M7 Absorption, Retrieval (needs labels" in text
    for product in ("Figure 3", "Table 3", "Figure 1a", "Table 7"):
        assert re.search(rf"{product} (figure|table): ", text[rest:]), product
    assert "compares backbones, and the sweep 'main' has one" in text.replace("&#39;", "'")
    assert not re.search(r"\d+ reproduced", text)
