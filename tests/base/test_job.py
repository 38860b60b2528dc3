"""How every script starts and ends: its line on the terminal, its log, its exit status."""

import subprocess
import sys

import pytest
from study_fixtures import ROOT

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

    def run(last):
        log = tmp_path / "draw.log"
        path = str(ROOT / "workflow_scripts")
        code = SCRIPT.format(path=path, last=last, log=str(log))
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        return process, log.read_text()

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
