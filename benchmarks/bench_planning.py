"""User CPU time of planning the paper's whole study (`snakemake -n`); prints a Markdown table.

In a copy of the repository with empty folders for the data sets. In turns with the plans run
Snakemake's start; the same jobs with the same files as bare rules, without params, resources,
environments and code of this library; and the import of torch, which says how fast the machine is.

    python benchmarks/bench_planning.py --rounds 10
"""

import argparse
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
GRAPH = "graph.json"
NO_PART_OF_IT = shutil.ignore_patterns(".*", "results", "data")

PLAN = [sys.executable, "-m", "snakemake", "-n"]
COMMANDS = {
    "`snakemake -n`": ("study", PLAN),
    "its graph alone": ("bare", [*PLAN, "all"]),
    "`snakemake --version`": ("study", [*PLAN[:-1], "--version"]),
    "`import torch`": ("study", [sys.executable, "-c", "import torch"]),
}

BARE_RULES = """
import json

def of_job(inputs):
    return lambda wildcards: inputs[json.dumps(dict(wildcards), sort_keys=True)]

for title, found in json.load(open("graph.json")).items():
    rule:
        name: title
        input: of_job(found["inputs"])
        output: [directory(path) if path in found["folders"] else path for path in found["outputs"]]
        log: found["logs"]
        wildcard_constraints: **found["constraints"]
        script: "bare.py"
"""


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write-graph", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def copy_repository(folder):
    shutil.copytree(ROOT, folder, ignore=NO_PART_OF_IT, dirs_exist_ok=True)
    for entry in yaml.safe_load((ROOT / "config.yaml").read_text())["datasets"].values():
        (folder / entry["root"]).mkdir(parents=True)


def write_graph():
    """Plan the study of this folder, and write its rules and what their jobs read to `GRAPH`."""
    import snakemake.cli
    from snakemake.dag import DAG

    built = DAG.check_directory_outputs

    def of_rule(rule):
        return {
            "outputs": list(map(str, rule.output)),
            "folders": [str(path) for path in rule.output if path.is_directory],
            "logs": list(map(str, rule.log)),
            "constraints": rule.wildcard_constraints,
            "inputs": {},
        }

    def write(graph):
        rules = {}
        for job in graph.jobs:
            inputs = rules.setdefault(job.rule.name, of_rule(job.rule))["inputs"]
            inputs[json.dumps(job.wildcards_dict, sort_keys=True)] = list(map(str, job.input))
        Path(GRAPH).write_text(json.dumps(rules))
        return built(graph)

    DAG.check_directory_outputs = write
    sys.argv = ["snakemake", "-n"]
    snakemake.cli.main()


def run(command, folder):
    """(seconds of user CPU, what a command printed)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return seconds, done.stdout + done.stderr


def jobs_of(plan):
    return re.search(r"^total +(\d+)$", plan, flags=re.MULTILINE)[1]


def main():
    arguments = parsed_arguments()
    if arguments.write_graph:
        return write_graph()
    with tempfile.TemporaryDirectory() as temporary:
        study, bare = Path(temporary, "study"), Path(temporary, "bare")
        for folder in (study, bare):
            copy_repository(folder)
        run([sys.executable, __file__, "--write-graph"], study)
        shutil.move(study / GRAPH, bare)
        (bare / "Snakefile").write_text(BARE_RULES)
        (bare / "bare.py").touch()
        jobs, seconds = {}, {name: [] for name in COMMANDS}
        for _ in range(arguments.rounds):
            for name, (folder, command) in COMMANDS.items():
                took, printed = run(command, Path(temporary, folder))
                seconds[name].append(took)
                if command[:4] == PLAN:
                    jobs[name] = jobs_of(printed)
    print(f"{' and '.join(set(jobs.values()))} jobs, {arguments.rounds} rounds\n")
    print("| seconds of user CPU | least | median | most |\n|---|---:|---:|---:|")
    for name, each in seconds.items():
        print(f"| {name} | {min(each):.2f} | {statistics.median(each):.2f} | {max(each):.2f} |")


if __name__ == "__main__":
    main()
