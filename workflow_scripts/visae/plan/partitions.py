"""What the partitions of a Slurm cluster allow a job to ask for.

The executor sends a job that fits no partition of the file to the cluster's default one, which need
not have GPUs. Here it is refused by name, and what grows with every attempt stops at the limit.
"""

import math
import os
from pathlib import Path
from types import SimpleNamespace

from visae.base.errors import UserError


def of_workflow(workflow):
    """The partitions that Snakemake's Slurm executor chooses from; none where it does not choose.

    Each has a `name`, `limits` and `score_job_fit(job)`.
    """
    path = getattr(workflow.executor_settings, "partition_config", None)
    path = path or os.environ.get("SNAKEMAKE_SLURM_PARTITIONS")
    if not path or workflow.local_exec:
        return []
    from snakemake_executor_plugin_slurm.partitions import read_partition_file

    return read_partition_file(Path(path))


def check_jobs(partitions, jobs):
    """UserError that names a job which is for the queue and fits none of `partitions`."""
    for job in jobs if partitions else ():
        # What depends on the size of files that are yet to be made is no number.
        known = {name: value for name, value in job.resources.items() if type(value) in (int, str)}
        chosen = job.is_local or "slurm_partition" in known
        asking = SimpleNamespace(name=job.name, threads=job.threads, resources=known)
        if not chosen and all(partition.score_job_fit(asking) is None for partition in partitions):
            asked = [f"{job.threads} threads"] + [
                f"{name} {known[name]}" for name in ("gpu", "mem_mb", "runtime") if name in known
            ]
            raise _unfit(job.rule.name, ", ".join(asked), partitions)


def bounded(resource, first, asked, gpus, partitions, rule, sized):
    """What an attempt of a job of `rule` may ask for: `asked`, or the most that is allowed.

    resource: `runtime` (minutes) or `mem_mb`. first: what the first attempt asks for. sized:
    whether that follows from the size of files, unseen by `check_jobs`: UserError if it is not
    allowed.
    """
    limits = [getattr(p.limits, f"max_{resource}") for p in partitions if p.limits.max_gpu >= gpus]
    limit = max(limits, default=math.inf)
    if first > limit and sized:
        raise _unfit(rule, f"{resource} {first}", partitions)
    if first > limit:
        return asked
    return asked if asked <= limit else int(limit)


def _unfit(rule, asked, partitions):
    names = ", ".join(partition.name for partition in partitions)
    return UserError(
        f"{rule} asks for {asked}, which none of the partitions {names} allows: correct their "
        "limits in the file of partitions, add a partition that has it, or ask for less "
        f"(--set-resources {rule}:…)"
    )
