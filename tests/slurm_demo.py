"""The demo's whole study through a real Slurm on this machine (see slurm_cluster.py).

    python tests/slurm_demo.py

Writes results/demo_slurm and prints every Slurm job. Fails if the scores are not those of
results/demo, where `make demo` has left them.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import slurm_cluster as cluster

ROOT = Path(__file__).resolve().parents[1]
STUDY = ROOT / "profiles" / "demo" / "study.yaml"
SCORES = "tables/scores.csv"
COLUMNS = ("id", "rule", "wildcards", "state", "partition", "memory_mb", "limit", "devices")


def main():
    if reason := cluster.why_not():
        print(f"The demo is not run through Slurm: {reason}")
        return
    local, results = ROOT / "results" / "demo", ROOT / "results" / "demo_slurm"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    config = STUDY.read_text().replace("study: demo", "study: demo_slurm")
    (results / "study.yaml").write_text(config.replace("results/demo/", "results/demo_slurm/"))
    command = [
        *(sys.executable, "-m", "snakemake", "--profile", "slurm", *cluster.SETTINGS),
        *("--slurm-partition-config", "profiles/slurm/partitions.yaml", "--max-threads", "1"),
        *("--quiet", "all", "--configfile", str(results / "study.yaml")),
    ]
    started = time.monotonic()
    with cluster.running():
        run = subprocess.run(command, cwd=ROOT)
        jobs = cluster.jobs()
    for job in jobs:
        seconds = job.get("end", 0) - job.get("start", 0)
        print(*(job.get(column, "") or "-" for column in COLUMNS), f"{seconds:.0f} s", sep="\t")
    print(f"{len(jobs)} Slurm jobs, {time.monotonic() - started:.0f} s in all")
    if run.returncode:
        sys.exit("the demo did not complete on Slurm")
    if (local / SCORES).exists():
        if (local / SCORES).read_bytes() != (results / SCORES).read_bytes():
            sys.exit(f"{results / SCORES} differs from {local / SCORES}")
        print("The scores are those of the local run, byte for byte")


if __name__ == "__main__":
    main()
