"""An entry outside of the library that is wrong is refused when the config names its folder."""

import shutil
import sys

import pytest
from study_fixtures import ROOT, demo_config

import visae.evals
from visae.base.errors import UserError
from visae.evals import extensions
from visae.evals.shelf import EVALS
from visae.study.study import Study

ENTRY = "entry.py"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the example's folder; the shelf is as before after the test."""
    monkeypatch.setattr(EVALS, "_extensions", {})
    monkeypatch.setattr(EVALS, "_entries", {})
    monkeypatch.setattr(visae.evals, "__path__", list(visae.evals.__path__))
    yield shutil.copytree(ROOT / "docs/examples/evals", tmp_path / "own")
    for module in [name for name in sys.modules if name.startswith("visae.evals.selectivity")]:
        del sys.modules[module]


def test_the_example_is_accepted_twice(folder):
    extensions.add(folder)
    extensions.add(folder)
    assert EVALS["selectivity"].label == "Class selectivity"


def test_an_entry_that_is_called_as_the_task_of_a_data_set_is_refused(folder):
    """`classification` is a task of each data set of M6, by the name of both."""
    config = demo_config() | {"extensions": [str(folder)]}
    (folder / "selectivity").rename(folder / "classification_of_textures")
    Study(config)
    (folder / "classification_of_textures").rename(folder / "classification_textures")
    EVALS._extensions.clear()
    with pytest.raises(UserError, match=r"datasets\.textures has a task classification that is"):
        Study(config)


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        (ENTRY, "ENTRY = ", "ENTRIES = ", "has no ENTRY"),
        (ENTRY, "ENTRY = Eval(", "ENTRY = dict(", "which is no Eval"),
        (ENTRY, "kind=METRIC", "kind='metrik'", "has the kind 'metrik'; choose METRIC or TASK"),
        (ENTRY, "of={SAES:", "of={'sae':", "reads of sae; a metric reads saes"),
        (ENTRY, '"codes",', '"code",', "reads 'code', which there is not; choose from"),
        (ENTRY, '    label="Class selectivity",\n', "", "TypeError: .*label.*; correct its"),
        (ENTRY, "from visae.evals", "import nonsense\nfrom visae.evals", "ModuleNotFoundError"),
        (ENTRY, '"default": 1', '"default": 0', "whose default it refuses"),
        (ENTRY, '"type": "integer"', '"type": "number of"', "no JSON schema"),
        (ENTRY, '"description"', '"says"', "without a description"),
        ("schema.json", '"title"', "title", "no JSON schema"),
        ("compute.py", None, None, "lacks compute.py; add it"),
        ("schema.json", None, None, "lacks schema.json; add it"),
    ],
)
def test_what_is_wrong_is_said_with_the_cure(folder, file, old, new, sentence):
    path = folder / "selectivity" / file
    if old is None:
        path.unlink()
    else:
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(UserError, match=sentence) as raised:
        extensions.add(folder)
    assert "\n" not in str(raised.value)


def test_names_that_paths_cannot_have_are_refused(folder):
    shutil.move(folder / "selectivity", folder / "Selectivity-2")
    with pytest.raises(UserError, match="small letters"):
        extensions.add(folder)


def test_the_folder_of_a_metric_itself_is_refused(folder):
    with pytest.raises(UserError, match="name the folder around it"):
        extensions.add(folder / "selectivity")


def test_a_protocol_that_fails_is_told_before_anything_runs(folder):
    path = folder / "selectivity" / ENTRY
    path.write_text(path.read_text("utf-8").replace("settings['classes']", "settings['class']"))
    config = demo_config() | {"extensions": [str(folder)]}
    with pytest.raises(UserError, match="protocol of the extension 'selectivity' fails"):
        Study(config)


def test_a_metric_that_every_sweeps_list_leaves_out_is_told(folder):
    """Nothing else would say that it is not computed. Of several metrics some may be chosen."""
    config = demo_config() | {
        "extensions": [str(folder)],
        "downstream": None,
        "interventions": None,
    }
    for sweep in config["sweeps"].values():
        sweep["metrics"] = ["fvu"]
    with pytest.raises(UserError, match=r"on the metric selectivity, .* sweeps\.main\.metrics"):
        Study(config)
    shutil.copytree(folder / "selectivity", folder / "another")
    config["sweeps"]["jumprelu"]["metrics"] = ["fvu", "selectivity"]
    extensions.add(folder)
    assert Study(config).sweeps["jumprelu"].metrics == ("fvu", "selectivity")
