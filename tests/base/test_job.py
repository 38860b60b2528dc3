"""How every script starts and ends: its line on the terminal, its log, its exit status."""

import io
import os
import signal
import subprocess
import sys

import pytest
from study_fixtures import ROOT

from visae.base import endings
from visae.command.follow import follow

SCRIPT = """
import atexit, sys
from types import SimpleNamespace
sys.path.insert(0, {path!r})
from visae.base.errors import UserError
from visae.base.job import run

def body(snakemake):
    atexit.register(lambda: print("left", end=""))
    sys.stdout.write("half a line, ")
    {last}

of = {{"rule": "draw", "wildcards": ["clip", 3], "log": [{log!r}], "threads": 1, "config": {{}}}}
run(body, SimpleNamespace(**of))
print("never")
"""


@pytest.fixture
def finished(tmp_path):
    """last statement of the body → (the finished process, its log)."""

    def run(last, **environment):
        log = tmp_path / "draw.log"
        path = str(ROOT / "workflow_scripts")
        code = SCRIPT.format(path=path, last=last, log=str(log))
        process = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | environment,
            capture_output=True,
            encoding="utf-8",
        )
        return process, log.read_text("utf-8")

    return run


def test_success_is_one_line_and_a_whole_log(finished):
    process, log = finished("return '  with a remark\\n'")
    assert process.returncode == 0
    assert process.stdout == ""
    title, remark = process.stderr.splitlines()
    assert title.startswith("✓ draw clip 3 (0.")
    assert remark == "  with a remark"
    # What functions do at exit is done, and nothing that was printed is lost.
    assert log == "half a line, left"


def test_how_far_it_is_stands_on_the_terminal_and_in_the_log(finished):
    counting = "from visae.base import progress; progress.FIRST = progress._interval = 0; "
    process, log = finished(counting + "list(progress.counted('ab', 'letters', 2))")
    lines = process.stderr.splitlines()
    assert lines[0] == "  draw clip 3: 1 of 2 letters (0 s, 0 s left)"
    assert lines[2].startswith("✓ draw clip 3")
    assert lines[1] == "  draw clip 3: 2 of 2 letters (0 s, 0 s left)"
    # The log has a line a minute, whoever asks for more.
    assert "1 of 2 letters (0 s, 0 s left)\n" in log
    assert "2 of 2 letters" not in log


@pytest.mark.parametrize(
    "error,sentence", [("UserError('mend it')", "mend it"), ("ValueError(3)", "ValueError(3)")]
)
def test_failure_is_a_sentence_and_a_traceback_in_the_log(finished, error, sentence):
    process, log = finished(f"raise {error}")
    assert process.returncode == 1
    assert process.stderr.startswith(f"✗ draw clip 3: {sentence}\n  (log: ")
    assert "half a line, " in log
    assert "Traceback" in log
    assert "in body" in log


def test_an_interrupted_job_says_what_to_do(finished):
    process, log = finished("raise KeyboardInterrupt")
    assert process.returncode == 1
    assert process.stderr.startswith("✗ draw clip 3: interrupted; run the same command again")
    assert "Traceback" in log


@pytest.mark.parametrize("note", ["", "a checkpoint of step 3 of 9 was written"])
def test_a_job_that_a_signal_ended_says_so_and_what_was_kept(finished, note):
    adding = f"; error.add_note({note!r})" if note else ""
    process, log = finished(f"error = SystemExit(143){adding}; raise error")
    assert process.returncode == 1
    kept = f"{note}; " if note else ""
    sentence = f"ended from outside by SIGTERM; {kept}run the same command again: it goes on"
    assert process.stderr.startswith(f"✗ draw clip 3: {sentence}")
    assert "Traceback" in log


def test_an_exit_that_no_signal_caused_is_shown_as_it_is(finished):
    assert "✗ draw clip 3: SystemExit(3)" in finished("raise SystemExit(3)")[0].stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_no_locale_fails_a_job_whose_work_is_done(finished, encoding):
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process, log = finished(
        "print('\\u03c1 = 1'); return '  \\u03c1 \\u2265 0\\n'", PYTHONIOENCODING=encoding, **locale
    )
    assert process.returncode == 0
    title, remark = process.stderr.splitlines()
    assert title.startswith("✓ draw clip 3")
    assert remark == "  ρ ≥ 0"
    assert log == "half a line, ρ = 1\nleft"


@pytest.mark.parametrize("name", sorted(endings.CRASHES))
def test_the_log_of_a_job_that_crashes_ends_with_where_it_was(finished, name):
    process, log = finished(f"import os, signal; os.kill(os.getpid(), signal.{name})")
    assert process.returncode == -getattr(signal, name)
    assert process.stderr == ""
    assert "Fatal Python error" in log
    assert "in body" in log


def test_the_log_of_a_job_has_where_its_worker_crashed(finished):
    process, log = finished(
        "import os, signal; from visae.base.pools import Workers; "
        "end = lambda: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    import __main__; __main__.end, end.__qualname__ = end, 'end'\n"
        "    with Workers(2) as workers: workers.submit(end).result()"
    )
    assert process.returncode == 1
    assert process.stderr.startswith("✗ draw clip 3: a worker process was ended, by a library")
    assert "Fatal Python error: Segmentation fault" in log
    assert "BrokenProcessPool" in log


CRASHING = """
import sys
from snakemake.logging import logger
from snakemake.settings.enums import Quietness
from visae.base import terminal
terminal.show_what_matters(logger, Quietness.ALL in (workflow.output_settings.quiet or ()))
rule crash:
    output: "out.txt"
    log: "crash.log"
    script: "crash.py"
"""
CRASH = """
import os, signal
from visae.base.job import run
run(lambda snakemake: os.kill(os.getpid(), signal.SIGSEGV), snakemake)
"""


def test_a_crash_is_a_sentence_through_snakemake_and_through_what_follows_it(tmp_path):
    (tmp_path / "Snakefile").write_text(CRASHING)
    (tmp_path / "crash.py").write_text(CRASH)
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "host", "reason", "rules"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow_scripts")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    shown = io.StringIO()
    follow(run.stdout.splitlines(keepends=True), shown)
    assert run.returncode == 1
    for text in (run.stdout, shown.getvalue()):
        sentence = (
            "✗ crash: a library that it calls crashed (SIGSEGV); its log, if it had begun, says"
        )
        assert text.count(sentence) == 1
        assert "  (log: crash.log)\n" in text
        assert "CalledProcessError" not in text
    assert "Fatal Python error: Segmentation fault" in (tmp_path / "crash.log").read_text()
