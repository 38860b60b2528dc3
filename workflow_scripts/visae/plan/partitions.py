"""What the partitions of a Slurm cluster allow a job to ask for.

The executor sends a job that fits no partition of the file to the cluster's default one, which need
not have GPUs. Here it is refused by name, and what grows with every attempt stops at the limit.
"""

import math
import os

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

    return read_partition_file(path)


def check_jobs(partitions, jobs):
    """UserError that names a job which is for the queue and fits none of `partitions`."""
    for job in jobs if partitions else ():
        chosen = job.is_local or job.resources.get("slurm_partition")
        if not chosen and all(partition.score_job_fit(job) is None for partition in partitions):
            asked = [f"{job.threads} threads"] + [
                f"{name} {job.resources.get(name)}"
                for name in ("gpu", "mem_mb", "runtime")
                if job.resources.get(name) is not None
            ]
            raise _unfit(job.rule.name, ", ".join(asked), partitions)


def bounded(resource, first, asked, gpus, partitions, rule):
    """What an attempt of a job of `rule` may ask for: `asked`, or the most that is allowed.

    resource: `runtime` (minutes) or `mem_mb`. first: what the first attempt asks for; UserError if
    not even that is allowed.
    """
    limits = [getattr(p.limits, f"max_{resource}") for p in partitions if p.limits.max_gpu >= gpus]
    limit = max(limits, default=math.inf)
    if first > limit:
        raise _unfit(rule, f"{resource} {first}", partitions)
    return asked if asked <= limit else int(limit)


def _unfit(rule, asked, partitions):
    names = ", ".join(partition.name for partition in partitions)
    return UserError(
        f"{rule} asks for {asked}, which none of the partitions {names} allows: correct their "
        "limits in the file of partitions, add a partition that has it, or ask for less "
        f"(--set-resources {rule}:…)"
    )
