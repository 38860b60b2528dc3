"""User CPU time of the seals of a finished study; prints a Markdown table.

Replays what the jobs did that wrote the files of a study. For each file, those that it was made of
itself are opened and checked, what they were made of is looked up, and an HDF5 file is sealed
again, in a copy. What jobs keep between files of one block they keep here. Builds run in turns,
each in a process of its own:

    PYTHONPATH=workflow_scripts python benchmarks/bench_seals.py results/demo --against ../before
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import h5py

from visae.activations.format import APART
from visae.activations.format import FORMAT as ACTIVATIONS
from visae.base import seals
from visae.base.errors import UserError
from visae.base.paths import OF_PLACES, home_of

READERS = {
    ".npz": seals.read_npz,
    ".json": seals.read_document,
    ".safetensors": seals.read_tensors,
}


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="folder of its results")
    parser.add_argument("--against", type=Path, help="another checkout, run in turns with this one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def sealed_files(study):
    """{path: its seal} of the files of a study that have one."""
    found = {}
    for path in sorted(study.rglob("*")):
        if path.is_file() and path.suffix in (".h5", *READERS, ".seal") and home_of(path)[0]:
            path = path.with_name(path.name.removesuffix(".seal"))
            try:
                found[path] = seals.recorded(path)
            except UserError:  # plain JSON
                continue
    return found


def jobs_of(files):
    """The files by job, as in coarse granularity: those of one kind and block together."""
    jobs = defaultdict(list)
    for path in files:
        folder, *below = home_of(path)[1].split("/")
        jobs[folder, *(below[:2] if folder in OF_PLACES else ())].append(path)
    return jobs.values()


def read_for(seal, study, files):
    """What a file was made of itself: not what those files were made of."""
    said = [study / place for place in seal["made_of"] if study / place in files]
    theirs = {study / place for file in said for place in files[file]["made_of"]}
    return [file for file in said if file not in theirs]


def opened(path, kind):
    """Open and check a file."""
    if path.suffix == ".h5":
        seals.open_hdf5(path, kind, APART if kind == ACTIVATIONS else ()).close()
    else:
        READERS.get(path.suffix, seals.read_beside)(path, kind)


class Clock:
    """What was done → [how often, user CPU seconds]."""

    def __init__(self):
        self.found = defaultdict(lambda: [0, 0.0])

    def __call__(self, what, function, *arguments):
        start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        function(*arguments)
        self.found[what][0] += 1
        self.found[what][1] += resource.getrusage(resource.RUSAGE_SELF).ru_utime - start


def replay(study, folder):
    """{what was done: [how often, user CPU seconds]} of all jobs of a study."""
    files, clock = sealed_files(study), Clock()
    for number, job in enumerate(jobs_of(files)):
        seals._recorded.cache_clear()
        seals._digests.clear()
        loaded = set()  # a job reads weights once
        for path in job:
            seal = files[path]
            inputs = read_for(seal, study, files)
            for file in inputs:
                if file not in loaded:
                    clock("files checked", opened, file, files[file]["kind"])
            loaded |= {file for file in inputs if file.suffix == ".safetensors"}
            clock("looked up", seals.made_of, path, inputs)
            if path.suffix == ".h5":
                copy = Path(shutil.copy(path, folder / f"{number}.h5"))
                apart = APART if seal["kind"] == ACTIVATIONS else ()
                arguments = path, seal["kind"], seal["made_of"], apart
                with h5py.File(copy, "r+") as file:
                    clock("HDF5 files sealed", seals.seal_hdf5, file, *arguments)
    return clock.found


def main():
    arguments = parsed_arguments()
    if arguments.once:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(replay(arguments.study, Path(folder))))
        return
    builds = [Path(__file__).resolve().parents[1]]
    builds += [arguments.against.resolve()] if arguments.against else []
    found = {build: [] for build in builds}
    for _ in range(arguments.rounds):
        for build, rounds in found.items():
            end = subprocess.run(
                [sys.executable, __file__, str(arguments.study), "--once"],
                env=os.environ | {"PYTHONPATH": str(build / "workflow_scripts")},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            rounds.append(json.loads(end.stdout))
    print(f"| | times | {' | '.join(str(build) for build in builds)} |")
    print(f"|---|---:|{'---:|' * len(builds)}")
    names = list(found[builds[0]][0])
    for name in names:
        times = [statistics.median(r[name][1] for r in rounds) for rounds in found.values()]
        count = f"{found[builds[0]][0][name][0]:,}"
        print(f"| {name} | {count} | {' | '.join(f'{seconds:.2f}' for seconds in times)} |")
    whole = [
        statistics.median(sum(r[name][1] for name in names) for r in rounds)
        for rounds in found.values()
    ]
    print(f"| **together** | | {' | '.join(f'{seconds:.2f}' for seconds in whole)} |")


if __name__ == "__main__":
    main()
