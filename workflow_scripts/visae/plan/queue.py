"""A Slurm whose controller is away, and jobs that it has forgotten: told, and waited for.

Snakemake's executor counts a submission that the controller does not answer as a failed attempt, of
which three are gone within a minute. Of a job that ended while the controller was away it may
never hear again: the run then stands still, in silence.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

EXECUTOR = "snakemake_executor_plugin_slurm"
LOOK_SECONDS = 10
"""Between two looks whether the controller is back."""
PATIENCE_CHECKS = 15
"""A job is lost when Slurm has not known it for as many times the seconds before status checks."""


class Lost:
    """Which of the jobs that a run waits for Slurm has not known for `patience` seconds."""

    def __init__(self, patience: float):
        self.patience = patience
        self._unknown_since: dict[str, float] = {}
        self._told: set[str] = set()

    def found(self, expected: Collection[str], known: Collection[str], now: float) -> list[str]:
        """The jobs that are found to be lost now, each once; now: seconds of any clock."""
        unknown = {job for job in expected if job.partition("_")[0] not in known}
        self._unknown_since = {job: self._unknown_since.get(job, now) for job in unknown}
        lost = {job for job, since in self._unknown_since.items() if now - since >= self.patience}
        new = sorted(lost - self._told)
        self._told = lost
        return new


def attend(executor: Any, say: Callable[[str], Any], patience: float | None = None) -> None:
    """Let Snakemake's Slurm `executor` submit when the controller answers, and tell of lost jobs.

    say: called with one sentence. patience: seconds, see PATIENCE_CHECKS. Other executors are left
    as they are.
    """
    if type(executor).__module__ != EXECUTOR:
        return
    settings = executor.workflow.executor_settings
    seconds = getattr(settings, "init_seconds_before_status_checks", None) or 40
    submit, check = executor.run_jobs, executor.check_active_jobs
    lost = Lost(PATIENCE_CHECKS * seconds if patience is None else patience)

    def run_jobs(jobs: list) -> Any:
        wait_for_controller(say)
        return submit(jobs)

    async def check_active_jobs(active_jobs: list) -> AsyncIterator[Any]:
        left = [job async for job in check(active_jobs)]
        # Jobs of other clusters are not in this one's queue.
        own = [job.external_jobid for job in left if not _elsewhere(job.job.resources)]
        known = await asyncio.to_thread(known_jobs) if own else None
        if known is not None and (gone := lost.found(own, known, time.monotonic())):
            say(_sentence(gone, len(left), lost.patience))
        for job in left:
            yield job

    executor.run_jobs, executor.check_active_jobs = run_jobs, check_active_jobs


def wait_for_controller(say: Callable[[str], Any], seconds: float = LOOK_SECONDS) -> None:
    """Return when Slurm's controller answers; say that it is away, and that it is back."""
    if controller_answers():
        return
    say("Slurm's controller does not answer: jobs are submitted when it does. Ctrl-C ends the run")
    while not controller_answers():
        time.sleep(seconds)
    say("Slurm's controller answers again")


def controller_answers() -> bool:
    """Whether a controller is up; True where that cannot be asked."""
    answer = _asked("scontrol", "ping")
    return answer is None or " UP" in answer.stdout


def known_jobs() -> set[str] | None:
    """The numbers of this user's jobs that Slurm knows, ended ones too; None without an answer."""
    answer = _asked("squeue", "--me", "--states=all", "--noheader", "--format=%F")
    return None if answer is None or answer.returncode else set(answer.stdout.split())


def _asked(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", "")


def _elsewhere(resources):
    return any(resources.get(name) for name in ("cluster", "clusters", "slurm_cluster"))


def _sentence(gone, expected, patience):
    which = f"job {gone[0]}" if len(gone) == 1 else f"jobs {', '.join(gone)}"
    return (
        f"Slurm has not known {which} for {patience / 60:.3g} minutes, of {expected} that this run "
        "waits for, which may wait for ever. Ctrl-C ends it; the same command then goes on with "
        "what is complete"
    )


def tell(sentence: str) -> None:
    """Write a sentence of this module on the terminal."""
    print(f"! {sentence}.", file=sys.stderr, flush=True)
