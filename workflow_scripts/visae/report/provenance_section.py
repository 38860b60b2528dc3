"""Where the page's numbers come from: config, versions, hashes, and what each job took."""

import csv
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import yaml

from visae.base.fingerprints import SCRIPTS
from visae.base.reading import as_number, guarded, read_text
from visae.evals.results import read_result
from visae.report.cells import Cell, gap, number
from visae.report.tables_section import Column
from visae.sae.folder import read_config


class Commit(NamedTuple):
    """The commit of the repository, and whether its files have been changed since."""

    name: str
    changed: bool


class Grid(NamedTuple):
    """A small table: `columns` and rows of `Cell`s."""

    columns: tuple
    rows: list


class Provenance(NamedTuple):
    """What the page says of its origin; `jobs` and `steps` are None without benchmarks."""

    config: str
    commit: Commit | None
    versions: Grid
    models: Grid
    inputs: Grid
    code: list
    steps: Grid | None
    jobs: Grid | None
    total: str


def read_provenance(config, scores, sae_configs, benchmarks):
    """config: the study's, with defaults. scores: paths of scores. sae_configs: paths of one
    SAE's `config.yaml` per sweep and backbone. benchmarks: folder of the jobs' records."""
    documents = [read_result(path) for path in scores]
    jobs = _jobs(Path(benchmarks))
    total = sum(job.seconds or 0 for job in jobs)
    return Provenance(
        config=yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=96),
        commit=commit(SCRIPTS.parent),
        versions=_versions(documents),
        models=_models(sae_configs),
        inputs=_inputs(documents),
        code=_code(documents),
        steps=_steps(jobs) if jobs else None,
        jobs=_all_jobs(jobs) if jobs else None,
        total=f"{len(jobs)} jobs, {_duration(total)} in all",
    )


def commit(folder):
    """The `Commit` that `folder` is a checkout of; None without git or outside a repository."""
    try:
        name = _git(folder, "rev-parse", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return Commit(name, bool(changes))


def _git(folder, *arguments):
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _versions(documents):
    """Package → every version that a score records, with the number of scores."""
    found = {}
    for document in documents:
        for package, version in document["provenance"]["versions"].items():
            found.setdefault(package, Counter())[version] += 1
    rows = [
        [Cell(package), Cell(", ".join(versions)), _count(sum(versions.values()))]
        for package, versions in sorted(found.items())
    ]
    return Grid((Column("Package", False), Column("Version", False), Column("Scores", True)), rows)


def _models(sae_configs):
    """Backbone, block → the model and what its SAEs were trained on."""
    rows = {}
    for path in sae_configs:
        data = read_config(path)["data"]
        rows[data["backbone"], data["layer"]] = [
            Cell(data["backbone"]),
            _count(data["layer"]),
            Cell(data["model"]),
            Cell(data["weights_fingerprint"]),
            Cell(data["token_order"]),
            Cell(f"{data['dataset']}/{data['split']}"),
            _count(data["images"]),
            Cell(data["cache_fingerprint"]),
        ]
    headings = ("Backbone", "Block", "Model", "Weights", "Tokens", "Trained on", "Images", "Cache")
    return Grid(tuple(Column(h, h in ("Block", "Images")) for h in headings), list(rows.values()))


def _inputs(documents):
    """SAE → its fingerprint and those of the caches on which it was scored."""
    names = [name for document in documents for name in document["provenance"]["inputs"]]
    names = list(dict.fromkeys(names))
    rows = []
    for document in documents:
        sae, inputs = document["sae"], document["provenance"]["inputs"]
        found = [Cell(inputs[name]) if name in inputs else gap("not read") for name in names]
        rows.append([Cell(sae["backbone"]), Cell(sae["name"]), *found])
    headings = ("Backbone", "SAE", *("SAE weights" if name == "sae" else name for name in names))
    return Grid(tuple(Column(heading, False) for heading in headings), rows)


def _code(documents):
    hashes = [document["provenance"]["code"] for document in documents]
    return list(dict.fromkeys(entry for entries in hashes for entry in entries))


class _Job(NamedTuple):
    step: str
    name: str
    seconds: float | None
    cpu: float | None
    megabytes: float | None


def _jobs(folder):
    """Every record below `folder`; the last line of a file is the last run."""
    jobs = []
    for path in sorted(folder.rglob("*.tsv")):
        with guarded(path, "a benchmark", "remove it"):
            lines = read_text(path, "a benchmark", "remove it").splitlines()
            runs = list(csv.DictReader(lines, delimiter="\t"))
            if not runs:
                continue
            name = path.relative_to(folder).with_suffix("")
            values = [_measured(runs[-1].get(key)) for key in ("s", "cpu_time", "max_rss")]
        jobs.append(_Job(name.parts[0], name.as_posix(), *values))
    return jobs


def _measured(text):
    """The number in a field; None where Snakemake could not measure (`-` or `NA`)."""
    return None if text in (None, "-", "NA", "") else as_number(text)


_MEASURED = (Column("Seconds", True), Column("CPU seconds", True), Column("Peak memory, MB", True))


def _steps(jobs):
    by_step = {}
    for job in jobs:
        by_step.setdefault(job.step, []).append(job)
    rows = []
    for step, members in by_step.items():
        seconds, cpu, megabytes = (
            [value for job in members if (value := getattr(job, key)) is not None]
            for key in ("seconds", "cpu", "megabytes")
        )
        rows.append(
            [
                Cell(step),
                _count(len(members)),
                _cell(sum(seconds) if seconds else None),
                _cell(sum(cpu) if cpu else None),
                _cell(max(megabytes, default=None)),
            ]
        )
    rows.sort(key=lambda row: -(row[2].sort or 0))
    return Grid((Column("Step", False), Column("Jobs", True), *_MEASURED), rows)


def _all_jobs(jobs):
    rows = [[Cell(job.name), *map(_cell, (job.seconds, job.cpu, job.megabytes))] for job in jobs]
    return Grid((Column("Job", False), *_MEASURED), rows)


def _cell(value):
    if value is None:
        return gap("Snakemake measured nothing: the job was too short")
    return Cell(f"{value:.0f}" if value >= 100 else f"{value:.1f}", value)


def _count(value):
    return Cell(number(value), float(value))


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
