"""Snakemake as a child process, with its output followed line by line."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from visae.base import progress
from visae.base.errors import UserError
from visae.base.repository import PROFILES, ROOT, prepare_jobs
from visae.command.follow import follow
from visae.study.config_files import read_config


def command_of(config, arguments, profile):
    """The Snakemake command that runs the study of a config file: a list of words.

    arguments: more words, options first, targets after `--`. profile: a folder, or the name of one
    of the repository's. Raises UserError if there is no such profile.
    """
    folders = [PROFILES / profile, Path(profile)]
    folder = next((path for path in folders if (path / "config.yaml").is_file()), None)
    if folder is None:
        ours = ", ".join(sorted(path.name for path in PROFILES.iterdir()))
        raise UserError(f"there is no profile '{profile}': give its folder, or one of {ours}")
    # In a clone the command is the one that the guides print.
    here = Path.cwd() == ROOT
    shown = folder.relative_to(ROOT) if here and folder.is_relative_to(ROOT) else folder
    place = [] if here else ["--snakefile", str(ROOT / "Snakefile")]
    # The profile last: `--configfile` would take a target that follows it for one more file.
    words = [*place, "--configfile", str(config), "--profile", str(shown)]
    return ["snakemake", *words, *arguments]


def run_study(command, config):
    """Run a command of `command_of` and show its progress; returns its exit status.

    The whole log goes to `results/{study}/logs/run_{time}.log`, whose name is printed. Ctrl-C goes
    to Snakemake, which ends its jobs and says how to go on.
    """
    prepare_jobs()
    print(f"$ {shlex.join(command)}", flush=True)
    log = _log_file(config)
    often = {progress.OFTEN: str(progress.FIRST)} if sys.stdout.isatty() else {}
    module = [sys.executable, "-m", "snakemake", *command[1:]]
    with open(log, "w", encoding="utf-8") as whole:
        child = subprocess.Popen(
            module,
            env=os.environ | often,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            follow(child.stdout, log=whole)
        finally:
            signal.signal(signal.SIGINT, before)
        status = child.wait()
    print(f"The whole log: {log}")
    return status


def _log_file(config):
    study = read_config(config).get("study", "unnamed")
    log = Path("results") / str(study) / "logs" / time.strftime("run_%Y%m%d_%H%M%S.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    return log
