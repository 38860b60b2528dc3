"""`visae look`: the page of a feature, found or made."""

import re
import shutil

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from workflow_fixtures import study_folder

import visae
from visae.audit.pages import features_with_images
from visae.command.main import main

RESULTS = "results/tiny"


@pytest.fixture(scope="module")
def clone(shared, finished):
    """A copy of the finished study, in which pages are made again."""
    return shared("looked_at", lambda folder: shutil.copytree(finished, folder, symlinks=True))


@pytest.fixture
def look(clone, monkeypatch):
    """`look(words)`: (exit status, what the command printed), from the study's folder."""
    monkeypatch.chdir(clone)

    def run(*words):
        result = CliRunner().invoke(main, ["look", *map(str, words)])
        return result.exit_code, result.output

    return run


@pytest.fixture(scope="module")
def page(clone):
    """(name of an SAE with pages, their folder, its live features that no page shows on images)."""
    study = visae.open_study(study_folder(clone))
    folder = next((study.folder / "features").glob("*/*/*"))
    sae = folder.relative_to(study.folder / "features").as_posix()
    pooled = study.sae(sae).pooled_codes()
    live = np.flatnonzero(pooled.sum(axis=0))
    return sae, folder, sorted({*map(int, live)} - features_with_images(folder))


def test_a_page_that_shows_the_feature_is_found(look, page):
    sae, folder, _ = page
    feature = min(features_with_images(folder))
    before = (folder / "index.html").stat().st_mtime_ns
    assert look(sae, feature) == (0, f"{(folder / 'index.html').as_uri()}#{feature}\n")
    assert look(sae, feature, "--study", RESULTS)[0] == 0
    assert (folder / "index.html").stat().st_mtime_ns == before


def test_a_feature_without_images_gets_them_and_those_before_keep_theirs(look, page, clone):
    sae, folder, unseen = page
    config = (clone / RESULTS / "config.yaml").read_text()
    status, output = look(sae, unseen[0])
    assert status == 0, output
    assert output.splitlines()[-1] == f"{(folder / 'index.html').as_uri()}#{unseen[0]}"
    assert unseen[0] in features_with_images(folder)
    named = yaml.safe_load((folder / "look.yaml").read_text())["features"]["named"]
    assert named == {sae: [unseen[0]]}
    assert (clone / RESULTS / "config.yaml").read_text() == config
    assert "snakemake --" in output  # the command is printed, and goes by itself


@pytest.mark.parametrize(
    ("sae", "feature", "says"),
    [
        ("dino_small/layer3/batchtopk_9x_k8", 0, r"no trained SAE 'dino_small/.*choose one of"),
        (None, 10_000, r"no feature 10000: its \d+ features are numbered"),
        (None, "dead", r"is dead: it fires on no image of \S+; look at a live one, such as {live}"),
    ],
)
def test_what_cannot_be_shown_is_said_before_anything_runs(look, page, clone, sae, feature, says):
    name, live = page[0], "any"
    if feature == "dead":
        study = visae.open_study(study_folder(clone))
        fires = np.asarray(study.sae(name).pooled_codes().sum(axis=0)).ravel() > 0
        feature = int(np.flatnonzero(~fires)[0])
        nearest = np.argsort(np.abs(np.flatnonzero(fires) - feature), kind="stable")[:3]
        live = " or ".join(map(str, sorted(np.flatnonzero(fires)[nearest])))
    says = says.replace("{live}", live)
    status, output = look(sae or name, feature)
    assert status == 1
    assert re.search(says, output)
    assert "Traceback" not in output


def test_a_page_is_made_by_its_name_in_the_rules_and_where_the_study_ran(
    look, page, clone, tmp_path, monkeypatch
):
    sae, _, unseen = page
    commands = []
    run = "visae.command.look.run_study"
    monkeypatch.setattr(run, lambda command, _: commands.append(command) or 0)
    assert look(sae, unseen[-1], "--study", clone / RESULTS)[0] == 0
    assert commands[0][-1] == f"{RESULTS}/features/{sae}/index.html"
    monkeypatch.chdir(tmp_path)
    status, output = look(sae, unseen[-1], "--study", clone / RESULTS)
    assert (status, len(commands)) == (1, 1)
    assert f"run the same command in {clone}" in " ".join(output.split())


def test_of_several_studies_it_takes_the_one_that_has_the_sae(
    look, page, clone, tmp_path, monkeypatch
):
    sae, folder, _ = page
    feature = min(features_with_images(folder))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/other").mkdir(parents=True)
    (tmp_path / RESULTS).symlink_to(clone / RESULTS)
    shutil.copy(clone / RESULTS / "config.yaml", tmp_path / "results/other")
    address = f"{(folder / 'index.html').resolve().as_uri()}#{feature}\n"
    assert look(sae, feature) == (0, address)
    wrong = sae.replace("2x", "9x").replace("4x", "9x")
    status, output = look(wrong, feature)
    assert (status, f"no study below results has an SAE '{wrong}'" in output) == (1, True)
    assert sae in output.partition(": there is ")[2]
    (tmp_path / "results/other").joinpath("saes").symlink_to(clone / RESULTS / "saes")
    status, output = look(sae, feature)
    assert (status, f"{sae} is in results/other, results/tiny" in output) == (1, True)


def test_without_a_study_it_asks_for_one(look, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, output = look("a/layer0/b", 0)
    assert (status, "there is none here" in output) == (1, True)
