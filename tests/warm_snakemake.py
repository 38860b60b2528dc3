"""A process that has imported Snakemake, and forks for each run: `python -m snakemake`, sooner.

An order is a line of JSON on standard input: the folder to run in, the arguments, the environment,
and the file for what is printed. The answer is a line with the exit code. A run is a process of its
own, which has imported Snakemake and nothing of the workflow, and ends as any other does.
"""

import gc
import importlib
import json
import os
import runpy
import sys

# What a dry run imports beside Snakemake's command line.
WARM = ("snakemake.cli", "snakemake.report.html_reporter", "jsonschema", "nbformat", "yte")


def become(order):
    """Be `python -m snakemake` in the ordered folder."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    printed = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream, file in enumerate((os.open(os.devnull, os.O_RDONLY), printed, printed)):
        os.dup2(file, stream)
    sys.path[0] = order["folder"]
    sys.argv[1:] = order["arguments"]
    sys.modules["snakemake.workflow"].Workflow._rundir = order["folder"]  # noted at its import
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)


def serve():
    """Fork for each order and answer, until there are no more; a fork returns at its end."""
    for line in sys.stdin:
        process = os.fork()
        if not process:
            return become(json.loads(line))
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    for module in WARM:
        importlib.import_module(module)
    gc.freeze()
    serve()
