"""A Python that has imported what takes long, and forks for each program that it is asked to run.

As a server (`serve ADDRESS MODULE…`) it imports the modules and listens. As a client
(`run ADDRESS PROGRAM ARGUMENT…`) it stands for `python PROGRAM ARGUMENT…`: the program runs in the
client's folder and environment, has its standard streams, and ends with the same exit code. It has
imported nothing of the workflow.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys

JOBS = "WARM_PYTHON_OF_JOBS"
"""The address of the server that runs the scripts of a Snakemake run by a server."""


def command(address):
    """The words that stand for `python`."""
    return [sys.executable, "-IS", os.path.abspath(__file__), "run", address]


def run(address, *program):
    """Have the program run, and end as it ends."""
    order = {"folder": os.getcwd(), "environment": dict(os.environ), "program": program}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [b"streams"], [0, 1, 2])
        connection.sendall(json.dumps(order).encode() + b"\n")
        code = int(connection.makefile().readline())
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


def serve(address, *modules):
    """Answer until standard input is closed. A fork returns when its program has ended."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        children = set()
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return None
            connection, _ = listener.accept()
            child = os.fork()
            if not child:
                return answer(connection)
            connection.close()
            children = {c for c in children | {child} if os.waitpid(c, os.WNOHANG) == (0, 0)}


def answer(connection):
    """Fork for the program of one client and wait for it; it is killed where the client is."""
    _, streams, _, _ = socket.recv_fds(connection, len(b"streams"), 3)
    order = json.loads(connection.makefile().readline())
    program = os.fork()
    if not program:
        return become(streams, **order)
    ended = os.pidfd_open(program)
    if connection in select.select([connection, ended], [], [])[0]:
        os.kill(program, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    connection.sendall(f"{code}\n".encode())
    os._exit(0)


def become(streams, folder, environment, program):
    """Be `python` with the words of `program`."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if "snakemake.workflow" in sys.modules:  # which noted the folder at its import
        sys.modules["snakemake.workflow"].Workflow._rundir = folder
        if JOBS in environment:  # Snakemake puts this before the name of a script
            sys.executable = " ".join(command(environment[JOBS]))
    searched = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    if program[0] == "-m":
        sys.argv[:] = program[1:]
        sys.path[0] = folder
        sys.path[1:1] = searched
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = program
        sys.path[0] = os.path.dirname(program[0])
        sys.path[1:1] = searched
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    {"run": run, "serve": serve}[sys.argv[1]](*sys.argv[2:])
