"""The notebooks of docs/notebooks run from a fresh kernel, on a study that has run."""

import os

import nbformat
import pytest
from nbclient import NotebookClient
from study_fixtures import ROOT
from workflow_fixtures import study_folder

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


def test_there_are_notebooks_without_outputs():
    assert len(NOTEBOOKS) == 2
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        assert not [cell for cell in code if cell.outputs or cell.execution_count]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, finished, monkeypatch):
    study = study_folder(finished)
    places = [str(ROOT / "workflow_scripts"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, places)))
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("results/demo", str(study.relative_to(finished)))
    ran = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(finished)}})
    ran.execute()  # raises what a cell raises
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == {"scores_to_figure": 1, "sae_to_feature": 4}[path.stem]
    assert not [o.text for o in outputs if "RuntimeWarning" in o.get("text", "")]
