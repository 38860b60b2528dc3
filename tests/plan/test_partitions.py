"""Jobs that fit no partition are refused by name, and further attempts stop at the limits."""

from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm.partitions import read_partition_file

from visae.base.errors import UserError
from visae.plan import partitions

FILE = """
partitions:
  cpu: {max_runtime: 2-00:00:00}
  gpu: {max_runtime: 100, max_mem_mb: 20000, max_gpu: 4}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "partitions.yaml"
    path.write_text(FILE)
    return path


def workflow(path, local=False):
    settings = SimpleNamespace(partition_config=path)
    return SimpleNamespace(executor_settings=settings, local_exec=local)


def job(local=False, threads=1, **resources):
    return SimpleNamespace(
        name="job",
        rule=SimpleNamespace(name="train_main"),
        is_local=local,
        threads=threads,
        resources=resources,
    )


def test_partitions_are_those_of_the_executor(file, monkeypatch):
    assert [p.name for p in partitions.of_workflow(workflow(file))] == ["cpu", "gpu"]
    assert partitions.of_workflow(workflow(file, local=True)) == []
    assert partitions.of_workflow(workflow(None)) == []
    assert partitions.of_workflow(SimpleNamespace(executor_settings=None, local_exec=True)) == []
    monkeypatch.setenv("SNAKEMAKE_SLURM_PARTITIONS", str(file))
    assert len(partitions.of_workflow(workflow(None))) == 2


@pytest.mark.parametrize(
    ("resource", "first", "asked", "gpus", "given"),
    [
        ("runtime", 66, 66, 1, 66),
        ("runtime", 66, 132, 1, 100),
        ("runtime", 66, 132, 0, 132),  # the partition without GPUs allows it
        ("mem_mb", 16000, 24000, 1, 20000),
        ("mem_mb", 16000, 24000, 0, 24000),
    ],
)
def test_further_attempts_stop_at_the_limit(file, resource, first, asked, gpus, given):
    found = read_partition_file(file)
    assert partitions.bounded(resource, first, asked, gpus, found, "train_main", False) == given


def test_a_first_attempt_beyond_the_limit_is_refused(file):
    with pytest.raises(UserError, match=r"train_main asks for runtime 101.*cpu, gpu"):
        partitions.bounded("runtime", 101, 101, 1, read_partition_file(file), "train_main", True)
    # `check_jobs` has seen it, and named the job.
    found = read_partition_file(file)
    assert partitions.bounded("runtime", 101, 101, 1, found, "train_main", False) == 101


@pytest.mark.parametrize(
    "resources", [{"runtime": 101, "gpu": 1}, {"gpu": 8}, {"gpu": 1, "mem_mb": 30000}]
)
def test_jobs_that_fit_no_partition_are_refused_by_name(file, resources):
    found = read_partition_file(file)
    with pytest.raises(UserError, match="train_main asks for 1 threads"):
        partitions.check_jobs(found, [job(), job(**resources)])
    partitions.check_jobs(found, [job(local=True, **resources)])
    partitions.check_jobs(found, [job(slurm_partition="own", **resources)])
    partitions.check_jobs([], [job(**resources)])
