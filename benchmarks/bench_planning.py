"""Time of planning the paper's whole study (`snakemake -n`); prints a Markdown table.

In a copy of the repository with empty folders for the data sets. The start of Snakemake and the
import of torch, in turns with the plans, say how fast the machine is meanwhile.

    python benchmarks/bench_planning.py --rounds 10
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
NO_PART_OF_IT = shutil.ignore_patterns(".*", "results", "data")

PLAN = [sys.executable, "-m", "snakemake", "-n"]
COMMANDS = {
    "`snakemake -n`": PLAN,
    "`snakemake --version`": [*PLAN[:-1], "--version"],
    "`import torch`": [sys.executable, "-c", "import torch"],
}


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def copy_repository(folder):
    shutil.copytree(ROOT, folder, ignore=NO_PART_OF_IT, dirs_exist_ok=True)
    for entry in yaml.safe_load((ROOT / "config.yaml").read_text())["datasets"].values():
        (folder / entry["root"]).mkdir(parents=True)


def main():
    arguments = parsed_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        copy_repository(Path(temporary))
        first = subprocess.run(PLAN, cwd=temporary, capture_output=True, text=True, check=True)
        jobs = re.search(r"^total +(\d+)$", first.stdout + first.stderr, flags=re.MULTILINE)[1]
        seconds = {name: [] for name in COMMANDS}
        for _ in range(arguments.rounds):
            for name, command in COMMANDS.items():
                start = time.perf_counter()
                subprocess.run(command, cwd=temporary, capture_output=True, check=True)
                seconds[name].append(time.perf_counter() - start)
    print(f"{jobs} jobs, {arguments.rounds} rounds\n")
    print("| seconds | least | median | most |\n|---|---:|---:|---:|")
    for name, each in seconds.items():
        print(f"| {name} | {min(each):.2f} | {statistics.median(each):.2f} | {max(each):.2f} |")


if __name__ == "__main__":
    main()
