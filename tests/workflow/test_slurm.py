"""The workflow on a real Slurm with two pretended GPUs, as `snakemake --profile slurm` runs it.

One run shows all: its memory guess for encoding is too small, and one training job is told to stop
while it runs, as the queue does at a job's time limit.
"""

import csv
import functools
import itertools
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import slurm_cluster as cluster
from study_fixtures import ROOT
from workflow_fixtures import (
    copy_repository,
    small_config,
    snakemake,
    study_folder,
    write_study,
)

pytestmark = pytest.mark.skipif(
    cluster.why_not() is not None, reason=f"no Slurm to be had: {cluster.why_not()}"
)

SCORES = "results/tiny/tables/scores.csv"
STOPPED = "train_main", "dino_small"
TOO_LITTLE_MB = 700  # importing PyTorch takes more, and not half as much again
SECONDS = 1800  # far more than is needed; something hangs when it takes that long


def longer_study():
    """Trained long enough to be stopped on the way."""
    config = small_config()
    config["training"]["epochs"] = 2
    return config


def start_on_slurm(folder, partitions="profiles/slurm/partitions.yaml"):
    """Start Snakemake in `folder` with the Slurm profile, typed as the README says."""
    if not (folder / "slurm").is_symlink():
        shutil.copy(ROOT / "slurm", folder / "slurm", follow_symlinks=False)
    command = [
        *(sys.executable, "-m", "snakemake", "--profile", "slurm", *cluster.SETTINGS),
        *("--slurm-partition-config", partitions),
        *("--max-threads", "1", "--configfile", "study.yaml", "--", SCORES),
    ]
    log = open(folder / "snakemake.log", "w")  # noqa: SIM115 (as long as the process)
    # In the background of a shell the tests ignore Ctrl-C, and so would what they start.
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, preexec_fn=listen
    )


def stop_while_training(folder, run):
    """Send SIGTERM to the training job of `STOPPED` once it is at work; returns its number."""
    rule, backbone = STOPPED
    log = study_folder(folder) / "logs" / "train" / f"main-{backbone}-layer3.log"
    deadline = time.monotonic() + SECONDS
    while not (log.exists() and "step 100 " in log.read_text()):
        assert run.poll() is None, (folder / "snakemake.log").read_text()
        assert time.monotonic() < deadline, (folder / "snakemake.log").read_text()
        time.sleep(0.1)
    [job] = [j for j in cluster.jobs() if j["rule"] == rule and backbone in j["wildcards"]]
    subprocess.run(["scancel", str(job["id"])], check=True)
    return job["id"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(folder, jobs, number of the stopped job) of a study that ran through Slurm."""
    folder = copy_repository(tmp_path_factory.mktemp("slurm"))
    encoding = folder / "rules" / "encoding.smk"
    text, count = re.subn(
        r"mem_mb=memory\([^()]*saes=sweep.saes\),(.*?encode_activations)",
        rf"mem_mb=memory({TOO_LITTLE_MB}),\1",
        encoding.read_text(),
        count=1,
        flags=re.DOTALL,
    )
    assert count == 1
    encoding.write_text(text)
    write_study(folder, longer_study())
    with cluster.running():
        run = start_on_slurm(folder)
        try:
            stopped = stop_while_training(folder, run)
            assert run.wait(SECONDS) == 0, (folder / "snakemake.log").read_text()
        finally:
            run.kill()
        return folder, cluster.jobs(), stopped


def of_rule(jobs, start):
    return [job for job in jobs if job["rule"].startswith(start)]


def test_scores_are_those_of_a_local_run(finished, tmp_path):
    folder, _, _ = finished
    copy_repository(tmp_path)
    snakemake(tmp_path, SCORES, config=longer_study())
    assert (folder / SCORES).read_bytes() == (tmp_path / SCORES).read_bytes()
    with open(folder / SCORES, newline="") as handle:
        values = [row["value"] for row in csv.DictReader(handle) if row["reading"] == "headline"]
    assert len(values) == 2 * 2 * 2
    assert all(values)


def test_gpu_jobs_at_the_same_time_have_different_devices(finished):
    _, jobs, _ = finished
    on_gpu = [job for job in jobs if job["gpus"]]
    assert {job["devices"] for job in on_gpu} == {"0", "1"}
    pairs = itertools.combinations([job for job in on_gpu if "end" in job], 2)
    together = [(a, b) for a, b in pairs if a["start"] < b["end"] and b["start"] < a["end"]]
    assert together
    assert all(one["devices"] != other["devices"] for one, other in together)


def test_jobs_go_to_the_partition_that_has_what_they_need(finished):
    _, jobs, _ = finished
    assert {job["partition"] for job in jobs if job["gpus"]} == {"gpu"}
    assert {job["partition"] for job in jobs if not job["gpus"]} == {"cpu"}
    assert {job["rule"] for job in jobs if job["gpus"]} == {
        *("extract_all", "train_main", "encode_main_all"),
    }


def test_light_rules_are_no_jobs_of_the_queue(finished):
    _, jobs, _ = finished
    light = ("write_demo_data", "index_", "split_images", "collect_", "table_", "figure_")
    assert not of_rule(jobs, light)


def test_job_killed_for_memory_comes_back_with_more(finished):
    folder, jobs, _ = finished
    logs = folder / ".snakemake" / "slurm_logs"
    encoding = of_rule(jobs, "encode")
    for backbone in ("dino_small", "deit_small"):
        *killed, last = [job for job in encoding if backbone in job["wildcards"]]
        assert killed
        for job in killed:
            [log] = logs.rglob(f"{job['id']}.log")
            assert "Exceeded job memory limit" in log.read_text()
        assert last["state"] == "COMPLETED"
        asked = [job["memory_mb"] for job in (*killed, last)]
        assert asked == [int(TOO_LITTLE_MB * 1.5**attempt) for attempt in range(len(asked))]


def test_stopped_training_goes_on_from_its_checkpoint(finished):
    folder, jobs, stopped = finished
    rule, backbone = STOPPED
    first, second = [j for j in jobs if j["rule"] == rule and backbone in j["wildcards"]]
    assert first["id"] == stopped
    assert first["state"] == "CANCELLED"
    assert second["state"] == "COMPLETED"
    # An hour, and a minute for each unit of the expansion factors, 2 and 4; then twice that.
    assert [first["limit"], second["limit"]] == ["01:06:00", "02:12:00"]
    log = study_folder(folder) / "logs" / "train" / f"main-{backbone}-layer3.log"
    resumed = re.search(r"resuming at step (\d+) of (\d+)", log.read_text())
    assert resumed
    assert int(resumed[1]) >= 100


@pytest.fixture
def drained(tmp_path):
    """The folder of a study, and a Slurm whose only node takes no job."""
    write_study(copy_repository(tmp_path), small_config())
    with cluster.running():
        cluster.drain()
        yield tmp_path


def wait_for_pending(run):
    """Return when Snakemake has submitted the two jobs of extraction, which then wait."""
    deadline = time.monotonic() + SECONDS
    while [job["state"] for job in cluster.jobs()].count("PENDING") < 2:
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.5)


def wait_for_words(folder, run, words):
    """Return when Snakemake has said `words`."""
    log, deadline = folder / "snakemake.log", time.monotonic() + SECONDS
    while words not in log.read_text():
        assert run.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)


def test_a_controller_that_is_away_is_waited_for_and_forgotten_jobs_are_told(drained):
    cluster.stop_controller()
    run = start_on_slurm(drained)
    try:
        wait_for_words(drained, run, "Slurm's controller does not answer")
        cluster.start_controller()
        cluster.drain()
        wait_for_words(drained, run, "Slurm's controller answers again")
        wait_for_pending(run)
        assert "SLURM sbatch failed" not in (drained / "snakemake.log").read_text()
        first, second = (job["id"] for job in cluster.jobs())

        cluster.stop_controller()
        cluster.start_controller()
        assert cluster.jobs() == []
        said = f"Slurm has not known jobs {first}, {second} for 0.75 minutes, of 2 that"
        wait_for_words(drained, run, said)
        run.send_signal(signal.SIGINT)
        assert run.wait(SECONDS) == 1
    finally:
        run.kill()


def test_ending_a_run_as_the_docs_say(drained):
    (drained / "tight.yaml").write_text(
        "partitions:\n  cpu: {max_runtime: 2880}\n  gpu: {max_runtime: 60, max_gpu: 4}\n"
    )
    run = start_on_slurm(drained, "tight.yaml")
    assert run.wait(SECONDS) == 1
    assert "which none of the partitions cpu, gpu allows" in (drained / "snakemake.log").read_text()
    assert cluster.jobs() == []

    run = start_on_slurm(drained)
    try:
        wait_for_pending(run)
        run.send_signal(signal.SIGINT)  # Ctrl-C
        assert run.wait(SECONDS) == 1
        assert {job["state"] for job in cluster.jobs()} == {"CANCELLED"}

        run = start_on_slurm(drained)
        wait_for_pending(run)
        run.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(15)
        run.send_signal(signal.SIGINT)
        assert run.wait(SECONDS) == 1
    finally:
        run.kill()
    assert {job["state"] for job in cluster.jobs()} == {"CANCELLED"}
