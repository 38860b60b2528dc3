"""The workflow as a user runs it, on a tiny study of real photographs."""

import csv
import json
import re
import shutil

import h5py
import pytest
from PIL import Image
from study_fixtures import ROOT, demo_config
from workflow_fixtures import (
    plan,
    planned_messages,
    snakemake,
    study_folder,
    tiny_config,
)

import visae.plan.artefacts
from visae.backbones import geometry
from visae.evals.results import read_result
from visae.plan import disk
from visae.plan.artefacts import artefacts
from visae.plan.images import count_images
from visae.sae.folder import read_warnings
from visae.study.study import Study
from visae.tables import layout

FIGURES = {
    *("figure_1a", "figure_1b", "figure_2a", "figure_2b", "figure_3", "figure_5", "figure_6"),
    *("figure_7", "figure_8", "training_curves", "evaluators_figure", "pretraining_figure"),
    *("matches_figure", "interventions_figure"),
}
EDITED = {"interventions_table", "interventions_by_feature", "interventions_figure"}


@pytest.fixture
def repository(finished, tmp_path):
    """The finished study, whose results a test changes."""
    return shutil.copytree(finished, tmp_path / "copy", symlinks=True)


def warnings_of(finished, path):
    """What the SAE of a score says of its training."""
    return read_warnings(study_folder(finished).joinpath("saes", *path.parts[-4:-1]))


def test_every_score_is_there_and_valid(finished):
    paths = list((study_folder(finished) / "metrics").glob("*/*/*/*.json"))
    assert len(paths) == 2 * 2 * 7
    for path in paths:
        score = read_result(path)
        assert score["value"] is not None or score["reason"]
        assert score["provenance"]["inputs"]["sae"]
        assert score["sae"]["warnings"] == warnings_of(finished, path)


def active_bytes(path):
    """What the active codes take of reductions of an SAE."""
    with h5py.File(path) as file:
        return file["codes_max/values"].id.get_storage_size()


def test_planned_files_and_bytes_are_those_on_the_disk(finished, monkeypatch):
    # How many codes are active is assumed. All else is counted.
    monkeypatch.setattr(visae.plan.artefacts, "active_features", lambda *_: 0)
    study = Study(tiny_config())
    known = geometry.read_geometries(geometry.SHIPPED)
    geometries = geometry.known(study.backbones, known)
    counts = count_images(study, study_folder(finished))
    planned = artefacts(study, geometries, counts)
    written = {
        str(path.relative_to(finished))
        for kind in disk.LARGE
        for path in (study_folder(finished) / kind).rglob("*.*")
        if path.suffix in (".h5", ".safetensors")
    }
    assert {artefact.path for artefact in planned} == written
    # Ids and headers are guessed: they count here, and not in a large study.
    tolerances = {"extract": 0.01, "train": 0.01, "reduce_raw": 0.05, "encode": 0.05, "rank": 0.1}
    for stage, tolerance in tolerances.items():
        mine = [artefact for artefact in planned if artefact.stage == stage]
        on_disk = sum((finished / a.path).stat().st_size for a in mine)
        on_disk -= sum(active_bytes(finished / a.path) for a in mine if stage == "encode")
        assert sum(artefact.size for artefact in mine) == pytest.approx(on_disk, rel=tolerance)


def test_scores_table_has_every_score(finished):
    with open(study_folder(finished) / "tables" / "scores.csv", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["reading"] == "headline"]
    assert len(rows) == 2 * 2 * 7
    for row in rows:
        path = study_folder(finished).joinpath(
            "metrics", row["backbone"], f"layer{row['layer']}", row["sae"], f"{row['metric']}.json"
        )
        value = json.loads(path.read_text())["value"]
        assert row["value"] == ("" if value is None else repr(float(value)))


def test_figures_and_tables_are_written(finished):
    results = study_folder(finished)
    for name in ("figure_1b", "figure_3", "figure_5", "training_curves"):
        assert (results / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (results / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for name in ("table_3", "table_4"):
        assert (results / "tables" / f"{name}.csv").read_text().count("\n") > 1


def test_table_3_is_repeated_without_masked_autoencoders(draft):
    config = tiny_config()
    config["backbones"]["deit_small"]["paradigm"] = "masked reconstruction"
    run = snakemake(draft, "table_3_without_mae", config=config, check=False)
    assert "needs a masked autoencoder and two other backbones" in run.stdout
    config["backbones"]["third"] = config["backbones"]["dino_small"] | {"seed": 9}
    assert "table_3_without_mae" in plan(draft, "table_3_without_mae", config=config)


def test_report_has_every_figure_and_table(finished):
    results = study_folder(finished)
    page = (results / "report" / "index.html").read_text("utf-8")
    names = {path.stem for path in (results / "figures").glob("*.png")}
    assert names >= FIGURES
    assert all(f'<figure id="{name}"' in page for name in names)
    tables = {path.stem for path in (results / "tables").glob("*.csv")} - {"claims"}
    assert all(f'<article id="table-{name}"' in page for name in tables)
    assert page.count('<details class="sae"') == 4


@pytest.mark.parametrize(("folder", "pages", "most"), [("features", 4, 6e6), ("matches", 2, 2e6)])
def test_report_leads_to_pages_beside_it(folder, pages, most, finished):
    results = study_folder(finished)
    page = (results / "report" / "index.html").read_text("utf-8")
    links = set(re.findall(rf'href="(\.\./{folder}/[^"#]*)', page))
    assert len(links) == pages
    for link in links:
        assert (results / "report" / link).is_file()
    assert sum(path.stat().st_size for path in (results / folder).rglob("*.*")) < most


def test_matches_are_of_two_backbones_and_of_two_saes_of_one(finished):
    results = study_folder(finished)
    table = layout.read(results / "tables" / "matches_table.json")
    assert [(row["left_backbone"], row["right_backbone"]) for row in table.rows] == [
        ("dino_small", "deit_small"), ("dino_small", "dino_small")
    ]  # fmt: skip
    for row in table.rows:
        assert row["patch_items"] == 48 * 64
        assert 0 < row["above"] <= row["mutual"] <= min(row["left_live"], row["right_live"])
        assert row["control"] < min(row["left_share"], row["right_share"])


def test_change_of_the_pages_look_writes_them_and_the_report(draft):
    look = draft / "workflow_scripts" / "visae" / "audit" / "assets" / "look.css"
    look.write_text(look.read_text("utf-8").replace("#e07b16", "#e07b17"), encoding="utf-8")
    drawn = {"matches_table": 1, "matches_figure": 1}
    drawn |= dict.fromkeys(EDITED, 1)
    pages = {"show_features_all": 1, "match_features_all": 1, "edit_features_all": 1}
    assert plan(draft) == {**pages, **drawn, "report": 1, "all": 1}


def test_change_of_one_kind_of_page_leaves_the_others(draft):
    audit = draft / "workflow_scripts" / "visae" / "audit"
    script = audit / "assets" / "matches.js"
    script.write_text(script.read_text("utf-8") + "\n", encoding="utf-8")
    jobs = plan(draft)
    assert jobs["match_features_all"] == 1
    assert "show_features_all" not in jobs
    template = audit / "templates" / "patches.html.jinja"
    template.write_text(template.read_text("utf-8") + "\n", encoding="utf-8")
    assert plan(draft)["show_features_all"] == 1


def test_every_downstream_result_is_there_and_valid(finished):
    paths = list((study_folder(finished) / "downstream").rglob("*.json"))
    tasks = {"retrieval", "segmentation", "classification_digits"}
    assert {path.stem for path in paths} == tasks
    assert len(paths) == 2 * (2 + 1) * len(tasks)
    for path in paths:
        result = read_result(path)
        raw = path.parent.name == "raw"
        assert set(result["representations"]) == ({"raw"} if raw else {"reconstructed", "codes"})
        for outcome in result["representations"].values():
            assert 0 < outcome["value"] < 1
        assert ("sae" in result["provenance"]["inputs"]) != raw
        if raw and result["task"] == "segmentation":  # the activations that it is normalised by
            assert "activations of photographs/train" in result["provenance"]["inputs"]
        assert result["source"]["warnings"] == ([] if raw else warnings_of(finished, path))
    with open(study_folder(finished) / "tables" / "downstream.csv", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["reading"] == "headline"]
    assert len(rows) == 2 * (2 * 2 + 1) * len(tasks)


def test_classification_downstream_is_that_of_m6(finished):
    results = study_folder(finished)
    for path in (results / "downstream").rglob("batchtopk_*/classification_digits.json"):
        place = path.parent.relative_to(results / "downstream")
        m6 = read_result(results / "metrics" / place / "cross_domain.json")["readings"]
        raw = read_result(path.parents[1] / "raw" / path.name)["representations"]["raw"]
        reconstructed = read_result(path)["representations"]["reconstructed"]
        assert raw["value"] == m6["digits_accuracy_raw"]
        assert reconstructed["value"] == m6["digits_accuracy_reconstructed"]


def test_change_of_the_head_evaluates_again_and_scores_nothing(draft):
    config = tiny_config()
    config["downstream"]["segmentation"]["head"] = {"epochs": 3}
    jobs = plan(draft, config=config)
    assert jobs["evaluate_raw_tasks"] == jobs["evaluate_main_tasks"] == 2
    assert "evaluate_main_metrics" not in jobs
    assert not [rule for rule in jobs if rule.startswith(("encode", "extract", "train"))]


def test_every_job_has_a_log_and_a_benchmark(finished):
    results = study_folder(finished)
    logs = {p.relative_to(results / "logs").with_suffix("") for p in results.rglob("*.log")}
    benchmarks = {
        p.relative_to(results / "benchmarks").with_suffix("")
        for p in (results / "benchmarks").rglob("*.tsv")
    }
    assert logs == benchmarks
    assert len(logs) > 20


def test_nothing_is_done_twice(draft):
    assert plan(draft) == {}


def test_change_of_a_figure_redraws_it_and_computes_nothing(draft):
    module = draft / "workflow_scripts" / "visae" / "products" / "figure_3" / "make.py"
    module.write_text(module.read_text("utf-8") + "\nANOTHER_LOOK = True\n", "utf-8")
    assert plan(draft) == {"figure_3": 1, "report": 1, "all": 1}


def test_change_of_the_reports_look_writes_the_report_only(draft):
    look = draft / "workflow_scripts" / "visae" / "report" / "assets" / "page.css"
    look.write_text(look.read_text("utf-8") + "\n/* another look */\n", "utf-8")
    assert plan(draft) == {"report": 1, "all": 1}


def test_change_of_the_style_redraws_figures_only(draft):
    style = draft / "workflow_scripts" / "visae" / "figures" / "style.py"
    style.write_text(style.read_text() + "\nANOTHER_COLOUR = True\n")
    jobs = plan(draft)
    assert jobs
    assert set(jobs) == {"all", "report", "as_run_figure", *FIGURES}


def test_change_of_a_metric_retrains_nothing(draft):
    config = tiny_config()
    config["metrics"]["localization"]["minimum_images"] = 10
    jobs = plan(draft, config=config)
    assert jobs["evaluate_main_metrics"] == 2
    assert not [rule for rule in jobs if rule.startswith(("train", "encode", "extract", "rank"))]


def test_label_of_a_backbone_redraws_figures_only(draft):
    config = tiny_config()
    config["backbones"]["dino_small"]["label"] = "DINO"
    jobs = plan(draft, config=config)
    assert {"figure_1a", "figure_1b", "training_curves"} <= set(jobs)
    tables = {"table_1", "table_2", "table_5", "table_7", "claims", "published_vs_run"}
    pages = {"show_features_all", "match_features_all", "matches_table", "edit_features_all"}
    pages |= EDITED
    assert not set(jobs) - FIGURES - tables - pages - {"all", "report"}


def test_further_backbone_adds_its_own_jobs_only(draft):
    config = tiny_config()
    config["backbones"]["mae_small"] = demo_config()["backbones"]["mae_small"] | {
        "evaluator": "dino_small"
    }
    config["backbones"]["mae_small"].pop("pretraining", None)
    messages = planned_messages(draft, config=config)
    assert any("Training" in message and "mae_small" in message for message in messages)
    # M5 in every backbone's space is a table over all pairs, so it has a new column for each.
    others = [m for m in messages if "dino_small" in m or "deit_small" in m]
    assert all("in_every_space" in message for message in others)
    jobs = plan(draft, config=config)
    assert jobs["train_main"] == jobs["encode_main_all"] == jobs["evaluate_main_metrics"] == 1


def test_jobs_cut_finely_give_the_same_scores(finished, cut_finely):
    place = "metrics/dino_small/layer3/batchtopk_2x_k8"
    paths = sorted((study_folder(finished) / place).glob("*.json"))
    assert len(paths) == 7
    jobs = json.loads((cut_finely / "jobs.json").read_text())
    # Both splits of the small data set are one job, the sharded split is not.
    assert jobs["extract_digits"] == jobs["join_digits"] == jobs["encode_main_digits"] == 1
    assert jobs["extract_photographs_train"] == 2 * 2
    assert jobs["rank_main_photographs"] == jobs["rank_main_cross_domain"] == 1
    for path in paths:
        assert read_result(study_folder(cut_finely) / place / path.name) == read_result(path)


def test_lost_score_is_computed_again_from_the_reductions(repository):
    (study_folder(repository) / "metrics/dino_small/layer3/batchtopk_2x_k8/fvu.json").unlink()
    assert plan(repository, "metrics") == {"evaluate_main_metrics": 1, "metrics": 1}
    # Its tables and figures are there, and were made of it.
    assert plan(repository) == {}


def test_damaged_shard_is_refused_when_the_cache_is_joined(repository):
    results = study_folder(repository)
    shard = next((results / "activations/dino_small/layer3/photographs/train").glob("*.h5"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0x55
    shard.write_bytes(content)
    run = snakemake(repository, "results/tiny/activations/dino_small/layer3/photographs/train.h5",
                    check=False)  # fmt: skip
    assert run.returncode != 0
    assert "does not match its CRC-32" in run.stdout
    assert str(shard.name) in run.stdout


def test_mask_of_another_size_is_named_when_images_are_listed(repository):
    masks = study_folder(repository) / "data/mosaics/annotations"
    mask = next(masks.rglob("*.png"))
    Image.open(mask).resize((7, 300)).save(mask)
    run = snakemake(repository, "--forcerun", "index_mosaics", "--",
                    "results/tiny/index/mosaics/training.csv", check=False)  # fmt: skip
    assert run.returncode != 0
    assert f"{mask.name} is 7×300 pixels, but its image" in run.stdout


def test_m5_is_scored_where_the_evaluator_is_outside_the_main_sweep(repository):
    config = tiny_config()
    config["sweeps"]["main"]["backbones"] = ["dino_small"]
    config["interventions"] = None
    folder = "results/tiny/metrics/dino_small/layer3/batchtopk_2x_k8/in_every_space"
    (repository / folder / "monosemanticity.json").unlink()
    snakemake(repository, f"{folder}/monosemanticity.json", config=config)
    score = read_result(repository / folder / "monosemanticity.json")
    assert score["details"]["evaluator"] == "deit_small"
    assert "raw_in_dino_small" in score["readings"]


def test_corrupt_image_is_named(repository):
    images = study_folder(repository) / "data/photographs/val"
    image = next(images.rglob("*.JPEG"))
    image.write_bytes(image.read_bytes()[:200])
    run = snakemake(
        repository, "--forcerun", "extract_all", "--",
        "results/tiny/activations/dino_small/layer3/photographs/val.h5", check=False,
    )  # fmt: skip
    assert run.returncode != 0
    assert image.name in run.stdout


def test_layer_that_the_model_lacks_is_told(repository):
    config = tiny_config()
    config["sweeps"]["main"]["layer"], config["interventions"] = 7, None
    run = snakemake(
        repository, "results/tiny/activations/dino_small/layer7/photographs/val.h5",
        config=config, check=False,
    )  # fmt: skip
    assert run.returncode != 0
    assert "4 blocks by its options.depth, numbered 0 to 3" in run.stdout


# ---------------------------------------------------------------- a metric of one's own


EXAMPLE = ROOT / "docs/examples/evals"


def test_a_metric_from_a_folder_outside_goes_through_the_whole_study(repository):
    results = study_folder(repository)
    claims = (results / "tables/claims.csv").read_bytes()
    before = (results / "tables/scores.csv").read_text().splitlines()
    shutil.copytree(EXAMPLE, repository / "my_evals")
    config = tiny_config(extensions=["my_evals"])
    config["metrics"]["selectivity"] = {"classes": 2}
    snakemake(repository, config=config)
    paths = sorted((results / "metrics").rglob("selectivity.json"))
    assert len(paths) == 4
    document = json.loads(paths[0].read_text())
    assert document["definition"].endswith("lies on its 2 strongest classes")
    assert len(document["provenance"]["code"]) == 2
    assert paths[0].with_suffix(".npz").exists()
    after = (results / "tables/scores.csv").read_text().splitlines()
    own = [line for line in after if ",selectivity," in line]
    assert len(own) == 4 * 2
    assert [line for line in after if line not in own] == before
    assert (
        "| Class selectivity | share of the codes on 2 classes |"
        in (results / "tables/table_2.md").read_text()
    )
    assert "Class selectivity" in (results / "report/index.html").read_text()
    assert (results / "tables/claims.csv").read_bytes() == claims
    assert "score" in snakemake(repository, "--", "plan").stdout


def test_settings_of_a_metric_from_outside_are_checked(repository):
    shutil.copytree(EXAMPLE, repository / "my_evals")
    config = tiny_config(extensions=["my_evals"])
    config["metrics"]["selectivity"] = {"classses": 2}
    run = snakemake(repository, "--dry-run", config=config, check=False)
    said = "metrics.selectivity has the unknown key 'classses'; did you mean 'classes'?"
    assert f"{said} ({repository}/study.yaml, line " in run.stdout
    text = (repository / "study.yaml").read_text()
    (repository / "study.yaml").write_text(f"{text}study: again\n")
    run = snakemake(repository, "--dry-run", check=False)
    assert "column 1: the key 'study' stands twice, first in line 1" in run.stdout


def test_what_an_entry_does_not_name_is_not_read(repository):
    """A metric that reads more than it says is refused, and told what to do."""
    shutil.copytree(EXAMPLE, repository / "my_evals")
    compute = repository / "my_evals/selectivity/compute.py"
    compute.write_text(compute.read_text().replace("encoded = ", "inputs.rankings(); encoded = "))
    path = "results/tiny/metrics/dino_small/layer3/batchtopk_2x_k8/selectivity.json"
    config = tiny_config(extensions=["my_evals"], granularity="fine")
    run = snakemake(repository, path, config=config, check=False)
    assert "is not among the inputs of this job: say in the entry what is read" in run.stdout
