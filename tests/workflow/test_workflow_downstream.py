"""Downstream tasks in the workflow: what the config asks for is planned, and nothing else."""

import re

import pytest
from study_fixtures import change, demo_config, kept_config, paper_config
from workflow_fixtures import copy_repository, plan

from visae.base.errors import UserError
from visae.study import roles
from visae.study.study import Study
from visae.tables.correlations import hypotheses
from visae.tables.foresight import registered_cells

TABLES = {"table_6", "table_8", "codes_lift", "correlations", "hypotheses", "preregistration"}
FIGURES = {"figure_2b", "figure_7", "figure_8"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A copy of the repository beside empty folders where the paper's data sets belong."""
    folder = copy_repository(tmp_path_factory.mktemp("downstream"))
    for entry in paper_config()["datasets"].values():
        (folder / entry["root"]).mkdir(parents=True)
    return folder


def evaluations(jobs):
    """Those of `jobs` that do downstream tasks: rule → number."""
    done = re.compile("evaluate_.*_(tasks|retrieval|segmentation|classification_.*)")
    return {rule: number for rule, number in jobs.items() if done.fullmatch(rule)}


def test_paper_does_every_task_once_per_backbone(repository):
    config = paper_config()
    jobs = plan(repository, config=config)
    tasks = ["retrieval", "segmentation"]
    tasks += [f"classification_{name}" for name in config["metrics"]["cross_domain"]["datasets"]]
    for task in tasks:
        assert jobs[f"evaluate_raw_{task}"] == 5
        assert jobs[f"evaluate_main_{task}"] == 5
    assert len(evaluations(jobs)) == 2 * len(tasks)
    # Patches with masks are read at the main sweep's block only.
    assert jobs["extract_ade20k"] == jobs["join_ade20k"] == 5
    assert not [rule for rule in jobs if rule.startswith("encode") and "ade20k" in rule]
    assert {rule: jobs[rule] for rule in TABLES | FIGURES} == dict.fromkeys(TABLES | FIGURES, 1)


def test_small_data_does_all_tasks_in_one_job_per_backbone(repository):
    jobs = plan(repository, config=demo_config())
    assert evaluations(jobs) == {"evaluate_raw_tasks": 5, "evaluate_main_tasks": 5}


def test_without_the_section_nothing_downstream_is_planned(repository):
    config = paper_config()
    del config["downstream"]
    jobs = plan(repository, config=config)
    assert jobs["table_3"] == 1
    assert not evaluations(jobs)
    assert not [rule for rule in jobs if "ade20k" in rule]
    assert not (TABLES | FIGURES | {"collect_downstream"}) & set(jobs)


def test_tasks_that_are_switched_off_are_left_out(repository):
    config = paper_config()
    config["downstream"] = {"classification": False, "sweeps": ["layer_3"]}
    jobs = plan(repository, config=config)
    assert evaluations(jobs) == {
        "evaluate_raw_retrieval": 5 + 3,
        "evaluate_main_retrieval": 5,
        "evaluate_layer_3_retrieval": 3,
    }
    assert not [rule for rule in jobs if "ade20k" in rule]


def test_one_result_needs_its_own_files_only(repository):
    path = "results/paper/downstream/mae/layer11/raw/retrieval.json"
    jobs = plan(repository, path, config=paper_config())
    assert jobs["evaluate_raw_retrieval"] == jobs["split_images"] == 1
    assert len([rule for rule in jobs if rule.startswith("evaluate_")]) == 1
    assert not [rule for rule in jobs if rule.startswith(("train", "encode", "fit"))]


@pytest.mark.parametrize(
    "path,value,sentence",
    [
        ("segmentation.dataset", "ade", "segmentation.train names the data set 'ade'"),
        ("segmentation.test", "val", "segmentation.test names the split 'val'"),
        (
            "segmentation",
            {"dataset": "cub", "train": "train", "test": "test"},
            "'cub' of layout cub_200_2011, which has no masks",
        ),
        ("sweeps", ["wide"], "downstream.sweeps names 'wide'"),
        ("retreival", True, "unknown key 'retreival'; did you mean 'retrieval'"),
        ("segmentation.head", {"batch": 0}, "segmentation.head.batch is 0"),
    ],
)
def test_mistakes_are_told_in_one_sentence(path, value, sentence):
    config = paper_config()
    change(config, f"downstream.{path}", value)
    with pytest.raises(UserError, match=sentence) as error:
        Study(config)
    assert "\n" not in str(error.value)


def test_head_settings_are_those_of_the_library():
    from visae.evals.segmentation.heads import HeadSettings

    assert HeadSettings(**Study(paper_config()).config["downstream"]["segmentation"]["head"]) == (
        HeadSettings()
    )
    HeadSettings(**Study(demo_config()).config["downstream"]["segmentation"]["head"])


def test_hypotheses_go_by_layout_where_data_sets_have_other_names():
    datasets = roles.paper_datasets(Study(demo_config()))
    assert datasets == {"inaturalist": "organisms", "cub": "digits", "dtd": "textures"}
    registered = hypotheses(datasets)
    tasks = {hypothesis.name: hypothesis.task for hypothesis in registered}
    assert tasks["H1"] == "segmentation"
    assert tasks["H2"] == "classification_digits"
    assert tasks["H4"] == "sparse_probing_organisms"
    assert tasks["H4 on DTD (raw)"] == "classification_textures"
    cells = registered_cells([hypothesis._asdict() for hypothesis in registered])
    assert cells["monosemanticity", "classification_digits"] == "H2"
    assert cells["sparse_probing", "classification_organisms"] == "H4"
    assert set(cells.values()) == {"H1", "H2", "H3", "H4"}
    assert {task for _, task in cells} - {"sparse_probing_organisms"} <= set(
        Study(demo_config()).tasks()
    )


def test_data_set_without_a_cache_is_streamed_for_each_sweep(repository):
    config = kept_config()
    config["datasets"]["inaturalist"]["cache"] = False
    jobs = plan(repository, config=config)
    assert jobs["stream_raw_inaturalist"] == jobs["reduce_raw_cub"]
    for sweep in ("main", "jumprelu", "layer_3"):
        assert jobs[f"stream_saes_{sweep}_inaturalist"] == jobs[f"encode_{sweep}_cub"]
    through_a_cache = ("extract_inat", "join_inat", "encode_main_inat", "reduce_raw_inat")
    assert not [rule for rule in jobs if rule.startswith(through_a_cache)]


@pytest.mark.parametrize(
    "changes,sentence",
    [
        (
            {"datasets.imagenet.cache": False},
            "datasets.imagenet.cache is false, but training.*storage to lean",
        ),
        ({"datasets.ade20k.cache": False}, "but downstream.segmentation reads"),
        (
            {"datasets.cub.cache": False, "on_bad_image": "skip"},
            "datasets.cub.cache is false, which goes only with on_bad_image: fail",
        ),
    ],
)
def test_streams_that_cannot_be_are_refused(changes, sentence):
    config = kept_config()
    for path, value in changes.items():
        change(config, path, value)
    with pytest.raises(UserError, match=sentence):
        Study(config)


def test_training_without_a_cache_is_had_as_its_refusal_says():
    study = Study(paper_config() | {"storage": "lean"})
    assert not study.training.cached_in("lean")
