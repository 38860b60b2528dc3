"""Studies that have run, each once for all tests and all processes of pytest."""

import fcntl
import filecmp
import json
import os
import shutil

import pytest
from workflow_fixtures import (
    copy_repository,
    plan,
    snakemake,
    study_folder,
    tiny_config,
)

# Slurm's tests wait more than they compute: at the end nothing would be left beside them. Tests of
# the workflow take half of the time, so they come next, and the rest fills what is left. While one
# process of pytest runs the study, another plans.
ORDER = (
    "test_slurm",
    *("test_workflow", "test_workflow_plans", "test_workflow_downstream", "test_compile_kernels"),
    *("test_what_is_recomputed", "test_workflow_published", "test_workflow_as_run", "test_faults"),
    "test_commands_of_pages",
)
LIBRARY, COMPILED = "workflow_scripts", "__pycache__"
PLACE = "metrics/dino_small/layer3/batchtopk_2x_k8"


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(ORDER)}
    items.sort(key=lambda item: places.get(item.path.stem, len(ORDER)))  # stable


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """`shared(name, build)`: the folder that `build(folder)` filled, here or in another process."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # that of all workers

    def folder_of(name, build):
        folder, done = base / name, base / f"{name}.done"
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a build that failed
                build(folder)
                done.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def finished(shared):
    """A copy of the repository in which the tiny study has run to its end, as a user runs it."""

    def build(folder):
        snakemake(copy_repository(folder), config=tiny_config(), fresh=True)

    return shared("finished", build)


@pytest.fixture(scope="module")
def unchanged(finished, tmp_path_factory):
    """A copy of the finished study in which nothing is left to do, and what a draft may change."""
    folder, kept = tmp_path_factory.mktemp("draft") / "copy", tmp_path_factory.mktemp("kept")
    shutil.copytree(finished, folder, symlinks=True)
    assert plan(folder) == {}
    shutil.copytree(folder / LIBRARY, kept / LIBRARY, ignore=shutil.ignore_patterns(COMPILED))
    shutil.copy2(folder / "study.yaml", kept)
    return folder, kept


@pytest.fixture
def draft(unchanged):
    """The same for a test that changes its code or its config and plans: both are put back."""
    folder, kept = unchanged
    yield folder
    put_back(folder / LIBRARY, kept / LIBRARY)
    shutil.copy2(kept / "study.yaml", folder)


def put_back(folder, kept):
    """Make `folder` again what `kept` is, but for what Python compiled."""
    compared = filecmp.dircmp(folder, kept, ignore=[COMPILED])
    for name in compared.left_only:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in compared.right_only + compared.diff_files:
        shutil.copy2(kept / name, folder)
    for name in compared.common_dirs:
        put_back(folder / name, kept / name)


@pytest.fixture(scope="session")
def cut_finely(shared, finished):
    """The finished study after one SAE's scores were computed again in small jobs.

    The jobs that were planned are in jobs.json.
    """

    def build(folder):
        shutil.copytree(finished, folder, symlinks=True)
        results = study_folder(folder)
        paths = sorted((results / PLACE).glob("*.json"))
        targets = [str(path.relative_to(folder)) for path in paths]
        for kind in ("activations", "saes", "reductions", "rankings", "probes", "metrics"):
            shutil.rmtree(results / kind)
        jobs = plan(folder, *targets, config=tiny_config(granularity="fine"))
        (folder / "jobs.json").write_text(json.dumps(jobs))
        snakemake(folder, *targets)

    return shared("cut_finely", build)
