"""What Snakemake shows on the terminal: nothing that a job has said, and errors in any case."""

import io
import logging

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from visae.base.terminal import CURES, show_what_matters

EXCEPTION = "RuleException:\nCommand 'python x.py' returned non-zero exit status 1."
KILLED = "RuleException:\nCommand 'python x.py' died with <Signals.SIGKILL: 9>."


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


def job_error(logger, text, rule_msg=None):
    logger.error(text, extra={"event": LogEvent.JOB_ERROR, "rule_msg": rule_msg})


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
    error(logger, KILLED)
    job_error(logger, "Error in rule draw")
    job_error(logger, "Error in rule train", rule_msg="SLURM-job '3' failed")
    lines = ["RuleException:", KILLED.splitlines()[1], "Error in rule draw", "Error in rule train"]
    assert shown.getvalue().splitlines() == lines


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
