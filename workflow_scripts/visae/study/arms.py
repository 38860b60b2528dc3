"""An arm of a study: a copy of what it has computed, in which one setting is switched.

The copy is a working directory of its own, with the study's results at the same relative paths and
with what Snakemake knows of them. So Snakemake computes again what depends on the setting, and
passes that the study makes for several sweeps together. Files are linked, not copied: whoever
writes a result puts a new file in its place.
"""

import contextlib
import os
import shutil
from pathlib import Path

import yaml

from visae.base.errors import UserError
from visae.base.files import write_text
from visae.base.paths import Paths
from visae.study.config import switched
from visae.study.study import Study, faults

LEFT_OUT = (
    *("arms", "benchmarks", "downstream", "examples", "features", "figures", "interventions"),
    *("logs", "report", "tables"),
)
"""Folders of results that no score is computed from."""

KNOWN = ".snakemake/metadata"


def check(study):
    """UserError with the first of `problems`."""
    for sentence in problems(study):
        raise UserError(sentence)


def problems(study):
    """A sentence for everything that is wrong with an arm of a Study that is right by itself.

    An arm runs when the study is finished, which is late to find that its config is refused.
    """
    for arm in study.config["arms"]:
        for sentence in faults(switched(study.config, arm)):
            yield (
                f"config: arms.{arm} gives a study that is refused, because "
                f"{sentence.removeprefix('config: ')}"
            )


def prepare(config, arm):
    """Make the folder of an arm, and return it. A copy that is there is gone on with.

    config: the study's, as written by its user. The study's results lie in the working directory.
    Raises UserError where the arm's config is wrong, or the study has not been run.
    """
    changed = switched(config, arm)
    study = Study(changed)
    results = Path(study.paths.results)
    folder = Path(Paths(str(results)).arm(arm))
    if not (folder / results).exists():
        if not (results / "activations").is_dir():
            raise UserError(
                f"{results} holds no activations, which the arm '{arm}' shares with the study: run "
                "the study first"
            )
        unfinished = folder.with_name(f".{arm}.partial")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(
            results,
            unfinished / results,
            symlinks=True,
            ignore=lambda at, names: LEFT_OUT if Path(at) == results else (),
            copy_function=_link,
        )
        shutil.copytree(KNOWN, unfinished / KNOWN)
        for path in sorted(_elsewhere(changed, results)):
            (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / path).symlink_to(Path(path).resolve())
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    write_text(folder / "study.yaml", yaml.safe_dump(changed, sort_keys=False))
    return folder


def _link(source, target):
    """A second name for a file; a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _elsewhere(value, results):
    """Relative paths in a config at which something lies that is not among the results."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return {path for item in items for path in _elsewhere(item, results)}
    if not isinstance(value, str) or not value or Path(value).is_absolute():
        return set()
    with contextlib.suppress(OSError):
        if Path(value).exists() and not Path(value).is_relative_to(results):
            return {os.path.normpath(value)} - {"."}
    return set()
