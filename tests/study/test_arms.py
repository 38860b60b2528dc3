"""Arms: the config of a study with one setting switched, and the copy in which it runs."""

import os

import pytest
import yaml
from study_fixtures import ROOT, demo_config

from visae.base.errors import UserError
from visae.base.paths import Paths
from visae.study import arms
from visae.study.config import switched
from visae.study.study import Study

OFF = {"training": {"gradient_clip": None}}


def with_arms(**chosen):
    return demo_config() | {"arms": chosen, "replicates": ["demo_2"]}


def test_an_arm_is_the_main_sweep_with_one_thing_changed():
    config = with_arms(off=OFF, loss={"training": {"loss": "sum"}})
    before, after = Study(config).config, Study(switched(config, "off")).config
    assert list(after["sweeps"]) == ["main"]
    assert (after["arms"], after["replicates"], after["downstream"]) == ({}, [], None)
    apart = ("interventions", "features", "matches")
    assert [after[section] for section in apart] == [None] * 3
    aside = {"arms", "replicates", "downstream", *apart, "sweeps", "training"}
    assert {k: v for k, v in before.items() if k not in aside} == {
        k: v for k, v in after.items() if k not in aside
    }
    assert after["training"] == before["training"] | {"gradient_clip": None}


@pytest.mark.parametrize(
    "arm", yaml.safe_load((ROOT / "profiles/as_run/study.yaml").read_text("utf-8"))["arms"]
)
def test_every_arm_of_the_profile_is_a_study_of_the_same_name(arm):
    config = yaml.safe_load((ROOT / "profiles/as_run/study.yaml").read_text("utf-8"))
    study, changed = Study(config), Study(switched(config, arm))
    assert changed.name == study.name
    assert set(changed.sweeps["main"].sae_names()) <= set(study.sweeps["main"].sae_names())
    assert changed.config != Study(switched(config | {"arms": {"same": {}}}, "same")).config


def test_the_keys_of_a_copys_config_keep_their_order(run):
    """The first sweep is the main one."""
    folder = arms.prepare(run, "off")
    with open(os.path.join(folder, "study.yaml"), encoding="utf-8") as file:
        assert list(yaml.safe_load(file)) == list(switched(run, "off"))
    assert list(switched(run, "off")) != sorted(switched(run, "off"))


def test_an_arm_of_a_study_with_pages_of_other_sweeps_is_a_study():
    """Pages, matches and edits are no scores of the main sweep, whose SAEs alone an arm has."""
    config, other = with_arms(off=OFF), "clip_small/layer1/batchtopk_4x_k24"
    config["features"] = {"saes": [other]}
    config["matches"] = {"pairs": [[other, "clip_small/layer3/batchtopk_4x_k24"]]}
    arms.check(Study(config))


def test_what_is_wrong_with_an_arm_is_told_before_the_study_runs():
    config = with_arms(
        off=OFF, odd={"training": {"bath_size": 4}}, other={"training": {"ragged_images": 7}}
    )
    study = Study(config)
    said = [*arms.problems(study)]
    assert [sentence.split(" ")[1] for sentence in said] == ["arms.odd", "arms.other"]
    assert "training has the unknown key 'bath_size'; did you mean 'batch_size'?" in said[0]
    assert "training.ragged_images is 7, which is no multiple of" in said[1]
    with pytest.raises(UserError, match=r"arms\.odd gives a study that is refused"):
        arms.check(study)


def test_an_unknown_arm_is_refused():
    with pytest.raises(UserError, match="'of' is not in arms; known: one of off"):
        switched(with_arms(off=OFF), "of")
    with pytest.raises(UserError, match="the config has no arms"):
        switched(demo_config(), "off")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A working directory in which a study has left files, and its config."""
    monkeypatch.chdir(tmp_path)
    for path in (
        *("results/demo/activations/a.h5", "results/demo/saes/b", "results/demo/tables/c.csv"),
        *("results/demo/arms/other/d", ".snakemake/metadata/e", "pictures/f.png"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    config = with_arms(off=OFF)
    config["datasets"]["photographs"] |= {"root": "pictures", "generated": False}
    return config


def test_a_copy_shares_the_results_and_leaves_the_study_as_it_is(run, tmp_path):
    (tmp_path / "results/demo/saes/link").symlink_to("elsewhere")
    folder = tmp_path / arms.prepare(run, "off")
    assert folder == tmp_path / Paths("results/demo").arm("off")
    copy = folder / "results/demo"
    assert os.readlink(copy / "saes/link") == "elsewhere"
    shared = [p.relative_to(copy).as_posix() for p in copy.rglob("*") if p.is_file()]
    assert sorted(shared) == ["activations/a.h5", "saes/b"]
    assert os.path.samefile(copy / "saes/b", tmp_path / "results/demo/saes/b")
    assert (folder / ".snakemake/metadata/e").read_text() == ".snakemake/metadata/e"
    assert not os.path.samefile(
        folder / ".snakemake/metadata/e", tmp_path / ".snakemake/metadata/e"
    )
    assert (folder / "pictures/f.png").read_text() == "pictures/f.png"  # what the config names
    assert yaml.safe_load((folder / "study.yaml").read_text()) == switched(run, "off")
    # What the arm has computed since stays, and a change of its setting arrives.
    (copy / "saes/b").unlink()
    (copy / "saes/b").write_text("another")
    run["arms"]["off"] = {"training": {"gradient_clip": 2.0}}
    arms.prepare(run, "off")
    assert (copy / "saes/b").read_text() == "another"
    assert (tmp_path / "results/demo/saes/b").read_text() == "results/demo/saes/b"
    assert "gradient_clip: 2.0" in (folder / "study.yaml").read_text()


def test_a_study_that_was_not_run_has_no_arms_to_share_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"results/demo holds no activations.*run the study first"):
        arms.prepare(with_arms(off=OFF), "off")
    with pytest.raises(UserError, match="training has the unknown key 'los'"):
        arms.prepare(with_arms(off={"training": {"los": "sum"}}), "off")
