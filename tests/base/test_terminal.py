"""What Snakemake shows on the terminal: nothing that a job has said, and errors in any case."""

import io
import logging
import signal
from types import SimpleNamespace

import pytest
from snakemake.logging import DefaultFilter, DefaultFormatter
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from visae.base.terminal import CURES, Refusal, show_what_matters

EXCEPTION = "RuleException:\nCommand 'python x.py' returned non-zero exit status 1."
DIED = "RuleException:\nCommand 'python x.py' died with <Signals.{}>."


@pytest.fixture
def terminal():
    """quiet → (a logger as Snakemake's, what it shows)."""

    def build(quiet):
        logger, shown = logging.Logger("snakemake"), io.StringIO()
        handler = logging.StreamHandler(shown)
        handler.addFilter(lambda record: not quiet)  # Snakemake's own
        logger.addHandler(handler)
        show_what_matters(logger, quiet)
        return logger, shown

    return build


def error(logger, text, exception="RuleException"):
    logger.error(text, extra={"event": LogEvent.ERROR, "exception": exception})


def job_error(logger, text, rule_msg=None, **more):
    more |= {"event": LogEvent.JOB_ERROR, "rule_msg": rule_msg}
    logger.error(text, extra=more)


@pytest.mark.parametrize("quiet", [False, True])
def test_what_a_job_has_said_is_not_said_again(terminal, quiet):
    logger, shown = terminal(quiet)
    for _ in range(2):
        error(logger, EXCEPTION)
    for _ in range(2):
        job_error(logger, "Error in rule draw")
    assert shown.getvalue() == ""


@pytest.mark.parametrize("quiet", [False, True])
def test_what_a_job_could_not_say_is_shown(terminal, quiet):
    logger, shown = terminal(quiet)
    crashed = EXCEPTION.replace("1.", "3.")
    error(logger, crashed)
    job_error(logger, "Error in rule draw")
    job_error(logger, "Error in rule train", rule_msg="SLURM-job '3' failed")
    lines = [*crashed.splitlines(), "Error in rule draw", "Error in rule train"]
    assert shown.getvalue().splitlines() == lines


@pytest.fixture
def as_snakemake():
    """quiet → (a logger with Snakemake's own filter and format, what it shows)."""

    def build(quiet):
        logger, shown = logging.Logger("snakemake"), io.StringIO()
        handler = logging.StreamHandler(shown)
        handler.setFormatter(DefaultFormatter())
        handler.addFilter(DefaultFilter({Quietness.RULES}, False, False, False, False))
        logger.addHandler(handler)
        show_what_matters(logger, quiet)
        return logger, shown

    return build


def ended(name, by_shell):
    """Snakemake's words where the signal ends the shell, or that shell's command."""
    number = getattr(signal, name).value
    if by_shell:
        return EXCEPTION.replace("1.", f"{128 + number}.")
    return DIED.format(f"{name}: {number}")


@pytest.mark.parametrize("by_shell", [False, True])
@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGQUIT"])
def test_a_job_that_was_killed_is_a_sentence(as_snakemake, name, quiet, by_shell):
    logger, shown = as_snakemake(quiet)
    error(logger, ended(name, by_shell))
    job_error(logger, None, rule_name="train_main", log=["logs/train.log"])
    said, log = shown.getvalue().splitlines()
    assert said.startswith(f"✗ train_main: ended from outside by {name}")
    assert ("memory" in said) == (name == "SIGKILL")
    assert said.endswith("run the same command again: it goes on with what is complete")
    assert log == "  (log: logs/train.log)"
    error(logger, EXCEPTION)
    job_error(logger, None, rule_name="draw", log=[])
    assert len(shown.getvalue().splitlines()) == 2


@pytest.mark.parametrize("by_shell", [False, True])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("SIGSEGV", "an input may be damaged"),
        ("SIGABRT", "an input may be damaged"),
        ("SIGFPE", "an input may be damaged"),
        ("SIGBUS", "a file may have been cut short"),
        ("SIGILL", "it may be built for another processor"),
    ],
)
def test_a_library_that_crashes_is_a_sentence(as_snakemake, name, why, by_shell):
    logger, shown = as_snakemake(False)
    error(logger, ended(name, by_shell))
    job_error(logger, None, rule_name="index_pets", log=["logs/index.log"])
    said, log = shown.getvalue().splitlines()
    crashed = f"a library that it calls crashed ({name}); its log, if it had begun, says where"
    assert said.startswith(f"✗ index_pets: {crashed}: {why}")
    assert log == "  (log: logs/index.log)"


def test_quiet_hides_no_refusal(terminal):
    logger, shown = terminal(True)
    logger.info("Building DAG of jobs...")
    error(logger, "config: no such key", "WorkflowError")
    assert shown.getvalue() == "config: no such key\n"


def test_refusals_of_snakemake_itself_get_a_cure(terminal):
    logger, shown = terminal(False)
    error(logger, "Write-protected output files: a.png", "ProtectedOutputException")
    assert shown.getvalue().splitlines()[1] == CURES["ProtectedOutputException"]
    from snakemake import exceptions

    assert all(hasattr(exceptions, name) for name in CURES)


PLACE = 'in file "/a/rules/common.smk", line 41'


@pytest.mark.parametrize(
    "text",
    [
        f'Refusal {PLACE}:\none\ntwo\n  File "/a/rules/common.smk", line 41, in <module>',
        f'Refusal {PLACE}:\none\ntwo\n  File "/b", line 1, in a\n  File "/c", line 2, in b',
        "Refusal:\none\ntwo",
        f"InputFunctionException in rule draw {PLACE}:\nError:\n  Refusal:\n    one\n    two\n"
        'Wildcards:\n  layer=3\nTraceback:\n  File "/a/rules/common.smk", line 3, in folder',
    ],
)
def test_a_refusal_is_its_sentences_alone(terminal, text):
    logger, shown = terminal(False)
    error(logger, text, "Refusal")
    assert shown.getvalue() == "one\ntwo\n"


def test_an_error_of_snakemakes_own_keeps_its_place(terminal):
    logger, shown = terminal(False)
    text = f'WorkflowError {PLACE}:\nno such file\n  File "/b", line 1, in <module>'
    error(logger, text, "WorkflowError")
    assert shown.getvalue() == f"{text}\n"


def test_snakemake_writes_refusals_as_they_are_read(terminal):
    from snakemake.exceptions import InputFunctionException, format_exception_to_string

    rule = SimpleNamespace(name="draw", lineno=41, snakefile="/a", workflow=None)
    try:
        raise Refusal("one\ntwo")
    except Refusal as refusal:
        of_file = format_exception_to_string(refusal, {__file__: range(1000)})
        plain = format_exception_to_string(refusal)
        rule.workflow = SimpleNamespace(linemaps={})
        inside = InputFunctionException(refusal, {"layer": 3}, rule=rule)
    for text in (of_file, plain, format_exception_to_string(inside)):
        logger, shown = terminal(False)
        error(logger, text, "Refusal")
        assert shown.getvalue() == "one\ntwo\n"


def test_a_lock_is_told_with_the_command_that_removes_it(terminal, monkeypatch):
    from snakemake.exceptions import LockException, format_exception_to_string

    words = ["--configfile", "my study.yaml", "--profile", "profiles/local"]
    monkeypatch.setattr("sys.argv", ["snakemake", *words, "-n"])
    command = "`snakemake --unlock --configfile 'my study.yaml' --profile profiles/local`"
    logger, shown = terminal(False)
    error(logger, format_exception_to_string(LockException()), "LockException")
    logger.info("Error: Directory cannot be locked. Another Snakemake instance is running.")
    of_run, of_plan = shown.getvalue().splitlines()
    assert of_run.endswith(f"once you are sure that none runs, remove the lock by {command}")
    assert "This plan needs no lock; a run is refused until that command ends or" in of_plan
    assert of_plan.endswith(f"where none runs, {command} removes the lock")
