"""Running the workflow as a user does, in a copy of the repository."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from study_fixtures import ROOT, demo_config

PARTS = (
    *("Snakefile", "config.yaml", "rules", "report", "envs"),
    *("workflow_scripts", "resources", "profiles", "docs/inconsistencies.md"),
)


def copy_repository(folder):
    """The parts of the repository that the workflow needs, below `folder`."""
    folder.mkdir(exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__")
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
    return config | changes


def small_config():
    """Smaller still, where the metrics do not matter: one data set, random weights, M1 and M2."""
    config = tiny_config(downstream=None)
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

    fresh: in a new Python, as a user does, and not in a copy of one that has imported Snakemake.
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
    run = (_run_fresh if fresh else run_warm)(folder, command)
    if check and run.returncode:
        raise AssertionError(f"{' '.join(command)}\n{run.stdout}")
    return run


def _run_fresh(folder, command):
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_warm(folder, command):
    """Run the words of `command`, the first of which is snakemake, in `folder`."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as output:
        order = {
            **{"folder": str(folder), "arguments": command[1:], "output": output.name},
            "environment": dict(os.environ),
        }
        server = _warm_server()
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        returncode = int(server.stdout.readline())
        return subprocess.CompletedProcess(command, returncode, output.read())


@functools.cache
def _warm_server():
    """The process of warm_snakemake.py; it ends when this one does."""
    program = [sys.executable, str(ROOT / "tests" / "warm_snakemake.py")]
    return subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


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
