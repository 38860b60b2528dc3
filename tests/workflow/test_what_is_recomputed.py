"""A change computes again what it is about and nothing else: of a finished study, by its code."""

import os
import re
import shutil
import subprocess
import time

import pytest
from shelf_fixtures import SCRIPTS, shelves
from study_fixtures import ROOT
from workflow_fixtures import copy_repository, plan, run_command, snakemake, tiny_config

# Shelf → the entry that a dummy is made of and what is left out of it, if not any and nothing.
COPIED = {"evals": ("fvu", "    number=2,\n")}

# Jobs that a dummy adds: a product is made as soon as it stands there.
ADDED = {"products": {"dummy", "product_dummy", "report", "all"}}

CLUSTER = ROOT / "docs" / "cluster.md"
# Figures that name the metrics.
DRAWN_BY_METRIC = {
    *("as_run_figure", "figure_1a", "figure_2b", "figure_3", "figure_7", "figure_8"),
}

BEFORE_TRAINING = ("write", "index", "split", "pretrain", "extract", "join", "reduce", "fit_raw")


@pytest.fixture
def scripts(draft):
    """Scripts and library of the finished study."""
    return draft / "workflow_scripts"


def inside(scripts, path):
    return scripts / path.relative_to(SCRIPTS)


def test_remarks_and_touches_compute_nothing(scripts, draft):
    for path in scripts.rglob("*.py"):
        text = path.read_text("utf-8")
        path.write_text(f'# A remark.\n{text}\n\n# Another.\n"""And one."""\n', "utf-8")
    assert plan(draft) == {}


def test_another_folder_computes_nothing(draft, tmp_path):
    assert plan(shutil.copytree(draft, tmp_path / "elsewhere", symlinks=True)) == {}


def test_another_spelling_of_the_config_computes_nothing(draft):
    config = tiny_config()
    for entry in config["backbones"].values():
        entry["options"] = dict(reversed(entry["options"].items()))
    config["training"] = {
        key: float(value) if isinstance(value, int) else value
        for key, value in reversed(config["training"].items())
    }
    assert plan(draft, config=dict(reversed(config.items()))) == {}


def copied(study, folder, *left_out):
    """A copy whose files have the times of copying, in another order than they were made."""
    shutil.copytree(study, folder, symlinks=True, ignore=shutil.ignore_patterns(*left_out))
    start = time.time() - 3600
    files = sorted(path for path in (folder / "results").rglob("*") if not path.is_symlink())
    for number, path in enumerate(reversed(files)):
        os.utime(path, (start + number / 100,) * 2)
    return folder


def test_a_copy_without_times_is_taken_up_as_the_docs_say(draft, tmp_path):
    folder = copied(draft, tmp_path / "copy")
    assert plan(folder) != {}
    [command] = re.findall(r"^(find -L results .*)$", CLUSTER.read_text("utf-8"), re.MULTILINE)
    subprocess.run(["bash", "-c", command], cwd=folder, check=True)
    assert plan(folder) == {}
    # The records of what was made of what came along: a change is seen.
    changed(folder / "workflow_scripts", "sae/families/batchtopk/trainer.py")
    assert plan(folder)["train_main"] == 2


def test_a_copy_without_records_gets_new_ones_as_the_docs_say(draft, tmp_path):
    folder = copied(draft, tmp_path / "copy", ".snakemake")
    [options] = re.findall(r"^snakemake .*(--touch .*)$", CLUSTER.read_text("utf-8"), re.MULTILINE)
    snakemake(folder, *options.split())
    assert plan(folder) == {}
    changed(folder / "workflow_scripts", "sae/families/batchtopk/trainer.py")
    assert plan(folder)["train_main"] == 2


def test_results_linked_into_another_checkout_compute_nothing(draft, tmp_path):
    folder = copy_repository(tmp_path / "checkout")
    for name in ("results", ".snakemake"):
        (folder / name).symlink_to(draft / name)
    shutil.copy(draft / "study.yaml", folder)
    assert plan(folder) == {}  # though its files of the repository are newer than the results


def test_another_working_directory_computes_nothing(draft, tmp_path):
    shutil.copytree(draft / "results", tmp_path / "results", symlinks=True)
    shutil.copy(draft / "study.yaml", tmp_path)
    options = ("-n", "--cores", "1", "--configfile", "study.yaml")
    command = ["snakemake", *options, "--directory", str(tmp_path)]
    for folder, snakefile in ((draft, []), (tmp_path, ["-s", str(draft / "Snakefile")])):
        run = run_command(folder, [*command, *snakefile])
        assert "Nothing to be done" in run.stdout, run.stdout


@pytest.mark.parametrize("name", ["demo", "paper_shapes"])
def test_a_profile_by_its_path_brings_its_study(draft, tmp_path, name):
    profile = str(draft / "profiles" / name)
    command = ["snakemake", "-n", "-q", "all", "-s", str(draft / "Snakefile")]
    run = run_command(tmp_path, [*command, "--profile", profile])
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", shelves())
def test_a_new_entry_computes_nothing_but_itself(scripts, draft, name):
    shelf = shelves()[name]
    copied, left_out = COPIED.get(name, (shelf.names()[0], ""))
    files = [inside(scripts, path) for path in shelf.files(copied)]
    place = scripts.joinpath(*shelf.package.split("."))
    if files[0].parent == place:
        dummy = shutil.copy(files[0], place / "dummy.py")
    else:
        dummy = shutil.copytree(place / copied, place / "dummy") / "entry.py"
    text = dummy.read_text("utf-8")
    assert left_out in text
    dummy.write_text(text.replace(left_out, "") if left_out else text, "utf-8")
    assert set(plan(draft)) <= ADDED.get(name, set())


@pytest.mark.parametrize(
    ("path", "shown_in"),
    [
        ("sae/families/batchtopk/entry.py", {"table_1", "report", "all"}),
        ("backbones/loaders/timm/entry.py", set()),
        ("images/layouts/cub_200_2011.py", set()),
        ("pretraining/paradigms/dino/entry.py", set()),
    ],
)
def test_words_of_an_entry_compute_only_what_shows_them(scripts, draft, path, shown_in):
    replaced(scripts, path, 'label="', 'label="Other ')
    assert set(plan(draft)) == shown_in


def test_the_label_of_a_metric_computes_what_prints_it(scripts, draft):
    replaced(scripts, "evals/fvu/entry.py", 'label="', 'label="Other ')
    assert set(plan(draft)) == {"table_2", *DRAWN_BY_METRIC, "report", "all"}


def test_the_definition_of_a_metric_is_in_its_scores(scripts, draft):
    replaced(scripts, "evals/fvu/entry.py", "over all patch tokens of", "over all tokens of")
    assert [rule for rule in plan(draft) if rule.startswith("evaluate")]


def test_a_product_is_made_alone(scripts, draft):
    changed(scripts, "products/training_curves/make.py")
    assert set(plan(draft)) == {"training_curves", "report", "all"}


def test_a_module_of_tables_makes_those_products_that_use_it(scripts, draft):
    changed(scripts, "tables/variance.py")
    jobs = set(plan(draft))
    assert {"table_3", "figure_3"} <= jobs  # the second reads the first
    assert not jobs & {"table_1", "table_2", "table_7", "training_curves", "collect_scores"}


def replaced(scripts, path, old, new):
    """Change words in a file of the library."""
    file = scripts / "visae" / path
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


def changed(scripts, path):
    """Change the code of a file of the library."""
    file = scripts / "visae" / path
    file.write_text(file.read_text("utf-8") + "\nCHANGED = True\n", "utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "sae/families/jumprelu/trainer.py",
        "sae/families/relu/trainer.py",
        "backbones/loaders/open_clip/load.py",
        "images/layouts/dtd.py",
        "pretraining/paradigms/mae/objective.py",
    ],
)
def test_an_entry_that_the_study_lacks_computes_nothing(scripts, draft, path):
    changed(scripts, path)
    assert plan(draft) == {}


def test_a_family_trains_its_saes_and_what_is_made_of_them(scripts, draft):
    changed(scripts, "sae/families/batchtopk/trainer.py")
    jobs = plan(draft)
    assert jobs["train_main"] == jobs["encode_main_all"] == jobs["rank_main_all"] == 2
    assert not [rule for rule in jobs if rule.startswith(BEFORE_TRAINING)]


def test_a_loader_extracts_its_backbones(scripts, draft):
    changed(scripts, "backbones/loaders/timm/load.py")
    jobs = plan(draft)
    assert jobs["pretrain_backbone"] == jobs["extract_all"] == 2
    assert not [rule for rule in jobs if rule.startswith(("write", "index", "split"))]


def test_a_layout_indexes_its_data_sets(scripts, draft):
    changed(scripts, "images/layouts/cub_200_2011.py")
    jobs = plan(draft)
    assert [rule for rule in jobs if rule.startswith("index")] == ["index_digits"]


def test_a_paradigm_pretrains_its_backbone(scripts, draft):
    changed(scripts, "pretraining/paradigms/dino/objective.py")
    jobs = plan(draft)
    assert jobs["pretrain_backbone"] == jobs["extract_all"] == 1
    assert not [rule for rule in jobs if rule.startswith(("write", "index", "split"))]


def test_a_metric_scores_and_trains_nothing(scripts, draft):
    changed(scripts, "evals/fvu/compute.py")
    jobs = plan(draft)
    assert [rule for rule in jobs if rule.startswith(("score", "evaluate"))]
    others = (*BEFORE_TRAINING, "train", "encode", "rank")
    assert not [rule for rule in jobs if rule.startswith(others)]


def test_the_copy_holds_the_library_that_is_tested(draft):
    for path in SCRIPTS.rglob("*.py"):
        assert (draft / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
