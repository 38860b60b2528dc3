"""A controller that is away is waited for; jobs that Slurm has forgotten are told, once each."""

import asyncio
from types import ModuleType, SimpleNamespace

import pytest

from visae.plan import queue


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ([({"1", "2"}, {"1", "2"})] * 9, {}),
        ([({"1", "2"}, {"1"})] * 9, {3: ["2"]}),
        ([({"1", "2_7"}, {"2"})] * 9, {3: ["1"]}),  # of an array
        # Known again in between; done in between.
        ([({"1"}, set())] * 3 + [({"1"}, {"1"})] + [({"1"}, set())] * 4, {7: ["1"]}),
        ([({"1"}, set())] * 3 + [(set(), set())] + [({"1"}, set())] * 3, {}),
        ([({"1"}, set())] * 5 + [({"1", "2"}, set())] * 4, {3: ["1"], 8: ["2"]}),
    ],
)
def test_lost_jobs_are_those_unknown_for_long(looks, told):
    lost = queue.Lost(patience=30)
    found = {i: lost.found(*look, now=1000 + 10 * i) for i, look in enumerate(looks)}
    assert {number: jobs for number, jobs in found.items() if jobs} == told


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder in front of PATH: `slurm(name, script)` writes a command of Slurm."""

    def command(name, script):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return command


def test_submission_waits_for_the_controller(slurm, tmp_path):
    calls = tmp_path / "calls"
    up = f"[ $(wc -l < {calls}) -gt 3 ] && echo Slurmctld is UP || echo Slurmctld is DOWN"
    slurm("scontrol", f"echo $1 >> {calls}; {up}")
    said = []
    queue.wait_for_controller(said.append, seconds=0)
    assert calls.read_text().split() == ["ping"] * 4
    assert [each.partition(":")[0] for each in said] == [
        "Slurm's controller does not answer",
        "Slurm's controller answers again",
    ]
    queue.wait_for_controller(said.append)
    assert len(said) == 2


def test_without_slurms_commands_nothing_is_waited_for(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert queue.controller_answers()
    assert queue.known_jobs() is None


def test_an_answer_that_fails_says_nothing_of_jobs(slurm):
    slurm("squeue", "echo 12; echo 12; echo 14")
    assert queue.known_jobs() == {"12", "14"}
    slurm("squeue", "echo unable to contact slurm controller >&2; exit 1")
    assert queue.known_jobs() is None


def executor(module):
    """A stand-in for Snakemake's executor, defined in `module`; it keeps all jobs active."""

    class Executor:
        workflow = SimpleNamespace(executor_settings=SimpleNamespace())
        submitted = ()

        def run_jobs(self, jobs):
            self.submitted = jobs

        async def check_active_jobs(self, active_jobs):
            for job in active_jobs:
                yield job

    Executor.__module__ = ModuleType(module).__name__
    return Executor()


def job(number, **resources):
    return SimpleNamespace(external_jobid=number, job=SimpleNamespace(resources=resources))


async def checked(waiting, jobs):
    return [each async for each in waiting.check_active_jobs(jobs)]


def test_the_executor_submits_and_checks_as_before_and_tells_of_lost_jobs(slurm):
    slurm("scontrol", "echo Slurmctld is UP")
    slurm("squeue", "echo 12")
    waiting, said = executor(queue.EXECUTOR), []
    queue.attend(waiting, said.append, patience=0)
    waiting.run_jobs(["a", "b"])
    assert waiting.submitted == ["a", "b"]
    jobs = [job("12"), job("13"), job("14", clusters="other")]
    assert asyncio.run(checked(waiting, jobs)) == jobs
    assert said == [queue._sentence(["13"], 3, 0)]
    assert "has not known job 13 for" in said[0]
    slurm("squeue", "exit 1")
    assert asyncio.run(checked(waiting, [job("15")]))
    assert len(said) == 1


def test_other_executors_are_left_alone():
    local = executor("snakemake.executors.local")
    queue.attend(local, print)
    assert "run_jobs" not in vars(local)
