"""Running the workflow as a user does, in a copy of the repository."""

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import warm_python
import yaml
from study_fixtures import ROOT, demo_config

PARTS = (
    *("Snakefile", "config.yaml", "as_run.yaml", "as_run_released.yaml", "rules", "report", "envs"),
    *("workflow_scripts", "resources", "profiles", "docs/inconsistencies.md"),
)

# What takes long to import: of Snakemake also what a dry run imports beside the command line.
SNAKEMAKE = (
    *("snakemake.cli", "snakemake.profiles", "snakemake.report.html_reporter"),
    *("smart_open", "jsonschema", "nbformat", "yte"),
)
JOBS = (
    *("torch", "timm", "h5py", "numba", "scipy.stats", "pandas", "statsmodels.formula.api"),
    *("matplotlib.figure", "matplotlib.backends.backend_pdf", "snakemake.script"),
)
PLANNING = {"-n", "--dry-run", "--rulegraph", "--summary", "--unlock"}  # no job is run
SERVERS = []  # (process, folder of its address), to be kept as long as this process


def copy_repository(folder):
    """The parts of the repository that the workflow needs, below `folder`.

    What set-up compiled comes along. What another process compiles at this moment stays behind.
    """
    folder.mkdir(exist_ok=True)
    ignore = shutil.ignore_patterns("*.pyc.*", "*.nb[ic].*")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignore)
        else:
            (folder / part).parent.mkdir(exist_ok=True)
            shutil.copy2(source, folder / part)
    return folder


def tiny_config(**changes):
    """The demo's study with two backbones, four SAEs, one out-of-domain data set and masks."""
    config = demo_config()
    config["study"] = "tiny"
    config["report"] = {"claims": "always"}
    for entry in config["datasets"].values():
        entry["root"] = entry["root"].replace("results/demo", "results/tiny")
    kept = {"dino_small": "deit_small", "deit_small": "dino_small"}
    config["backbones"] = {name: config["backbones"][name] for name in kept}
    for name, evaluator in kept.items():
        config["backbones"][name]["evaluator"] = evaluator
        config["backbones"][name]["pretraining"]["steps"] = 3
    config["sweeps"] = {
        "main": {"family": "batchtopk", "grid": {"expansion_factor": [2, 4], "k": [8]}}
    }
    config["metrics"]["cross_domain"] = {
        "headline": "digits",
        "datasets": {"digits": {"train": "train", "test": "test"}},
    }
    kept = ("photographs", "digits", "mosaics")
    config["datasets"] = {name: config["datasets"][name] for name in kept}
    config["interventions"] = {
        "saes": [f"{name}/layer3/batchtopk_2x_k8" for name in config["backbones"]],
        **{"datasets": ["digits", "mosaics"], "classes": 3, "train_images": 40, "images": 8},
        **{"strengths": [1], "seeds": 1, "shown": 1},
    }
    return config | changes


def small_config():
    """Smaller still, where the metrics do not matter: one data set, random weights, M1 and M2."""
    config = tiny_config(downstream=None, interventions=None)
    config["datasets"] = {"photographs": config["datasets"]["photographs"]}
    for entry in config["backbones"].values():
        del entry["pretraining"]
    del config["metrics"]["cross_domain"]
    config["sweeps"]["main"]["metrics"] = ["localization", "fvu"]
    return config


def write_study(folder, config):
    """Write `config` where `snakemake` reads it."""
    (folder / "study.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def snakemake(folder, *arguments, config=None, check=True, fresh=False):
    """Run Snakemake in `folder` on the study of `config` (written to study.yaml).

    fresh: as a user does, in a new Python for Snakemake and for each job.
    """
    if config is not None:
        write_study(folder, config)
    command = [
        "snakemake",
        *("--configfile", "study.yaml"),  # takes every word up to the next option, as the next one
        *("--rerun-triggers", "mtime", "params", "input", "software-env"),
        *("--cores", "2", "--max-threads", "1"),
        *arguments,
    ]
    run = run_command(folder, command, fresh=fresh)
    if check and run.returncode:
        raise AssertionError(f"{' '.join(command)}\n{run.stdout}")
    return run


def run_command(folder, command, fresh=False):
    """Run the words of `command`, the first of which is snakemake, in `folder`."""
    python, environment = [sys.executable], dict(os.environ)
    if not fresh:
        python = warm_python.command(warm(*SNAKEMAKE))
        if not PLANNING & set(command):
            environment[warm_python.JOBS] = warm(*JOBS)
    return subprocess.run(
        [*python, "-m", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@functools.cache
def warm(*modules):
    """The address of a Python that has imported `modules`; it ends when this process does."""
    folder = tempfile.TemporaryDirectory()
    address = os.path.join(folder.name, "socket")
    server = subprocess.Popen(
        [sys.executable, warm_python.__file__, "serve", address, *modules],
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # as Snakemake says to jobs of one thread
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout.readline() == b"ready\n"
    SERVERS.append((server, folder))
    return address


def plan(folder, *targets, config=None):
    """The jobs that Snakemake would run: rule → number."""
    run = snakemake(folder, "--dry-run", "--quiet", "rules", "--", *targets, config=config)
    rows = re.findall(r"^(\w+) +(\d+)$", run.stdout, flags=re.MULTILINE)
    return {rule: int(count) for rule, count in rows if rule != "total"}


def planned_messages(folder, config=None):
    """The message of every job that Snakemake would run."""
    run = snakemake(folder, "--dry-run", config=config)
    return re.findall(r"^Job \d+: (.*)$", run.stdout, flags=re.MULTILINE)


def study_folder(folder):
    """Where the tiny study's results lie."""
    return Path(folder) / "results" / "tiny"
