"""Running the body of a rule's script: its log, its line on the terminal, its errors."""

import atexit
import contextlib
import faulthandler
import importlib
import io
import os
import signal
import sys
import time
import traceback
from concurrent.futures import BrokenExecutor

from visae.base import progress
from visae.base.endings import AGAIN
from visae.base.errors import UserError

ENDED = {128 + number: number.name for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
"""Exit status of a job that a signal has ended → the signal. Its notes say what was kept."""


def run(body, snakemake):
    """Call `body(snakemake)` with stdout and stderr in the rule's log, torch on the rule's threads.

    One line on the terminal says what was done and how long it took, or what was wrong. An
    error that is meant for the user is shown as its sentence; the traceback is in the log. Text
    that `body` returns is shown after the line. Then the process ends: this does not return.
    """
    # In any locale: a line that cannot be shown must not fail a job whose work is done.
    terminal = os.fdopen(os.dup(sys.stderr.fileno()), "w", 1, "utf-8", "backslashreplace")
    log = open(snakemake.log[0], "w", 1, "utf-8", "backslashreplace")  # noqa: SIM115 (to the end)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log.fileno(), stream.fileno())
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    faulthandler.enable(log)  # a crash of a library: the lines of all threads, workers' as well
    if "torch" in sys.modules:  # few scripts need it
        sys.modules["torch"].set_num_threads(snakemake.threads)
    title = " ".join([snakemake.rule, *map(str, snakemake.wildcards)])
    progress.show(_progress_line(title, terminal))
    start = time.monotonic()
    try:
        _extend(snakemake.config.get("extensions", []))
        shown = body(snakemake)
    except BaseException as error:
        sentence = _sentence(error)
        terminal.write(f"✗ {title}: {sentence}\n  (log: {snakemake.log[0]})\n")
        with contextlib.suppress(OSError):  # on a full disk there is no room for the log either
            traceback.print_exc()
            sys.stdout.flush()
        os._exit(1)
    terminal.write(f"✓ {title} ({time.monotonic() - start:.1f} s)\n{shown or ''}")
    # Python would take torch and the libraries of backbones apart, which takes up to a second.
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def _progress_line(title, terminal):
    """Shows how far the job is: on the terminal as often as is asked, in the log once a minute."""
    logged = -progress.INTERVAL

    def line(text):
        nonlocal logged
        terminal.write(f"  {title}: {text}\n")
        if time.monotonic() - logged >= progress.INTERVAL:
            logged = time.monotonic()
            print(text, flush=True)

    return line


def _sentence(error):
    """What is said of an error on the terminal."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted; {AGAIN}"
    if isinstance(error, SystemExit) and error.code in ENDED:
        kept = "".join(f"{note}; " for note in getattr(error, "__notes__", ()))
        return f"ended from outside by {ENDED[error.code]}; {kept}{AGAIN}"
    if isinstance(error, BrokenExecutor):
        return (
            "a worker process was ended, by a library that crashed (the log says where) or because "
            f"the memory was full; {AGAIN}"
        )
    return repr(error)


def _extend(folders):
    """Let the job find the metrics and tasks that lie outside of the library."""
    for folder in folders:  # by name, since most jobs need no shelf
        importlib.import_module("visae.evals.shelf").EVALS.extend(folder)
