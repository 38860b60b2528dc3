"""What Snakemake shows on the terminal besides what jobs say themselves (`visae.base.job`)."""

import collections
import logging
import os
import re
import shlex
import sys
import textwrap

from snakemake.exceptions import WorkflowError

from visae.base import endings


class Refusal(WorkflowError):
    """A sentence for the user: nothing is said of the rules' line that raises it."""


BEFORE = re.compile(
    r"Refusal( in .*)?:\n|InputFunctionException in .*:\nError:\n  Refusal( .*)?:\n"
)
AFTER = re.compile(r"\n(Wildcards:\n|  File \".*\", line \d+, in )(?s:.*)")
"""What Snakemake writes around the sentence of a Refusal."""

OF_SCRIPT = "returned non-zero exit status 1."
"""How Snakemake's error ends where a script failed that could still say why."""


def show_what_matters(logger, quiet):
    """Set what Snakemake's `logger` shows on the terminal; its log file is left as it is.

    Of a job that said itself why it failed nothing more is shown. quiet: whether the user asked for
    `--quiet all`: errors are shown nevertheless, or a refusal would look like a success.
    """
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and not hasattr(handler, "baseFilename"):
            if quiet:
                handler.filters = [_is_error]
            # First, since Snakemake's own filter hides the second record of a failed job.
            handler.filters.insert(0, _Unsaid())
            handler.addFilter(_with_cure)
            handler.addFilter(_alone)


def _is_error(record):
    return record.levelno >= logging.ERROR


CURES = {
    "ProtectedOutputException": "This run makes these files anew, and they are closed to writing: "
    "let them be written (chmod u+w), or ask for files that need none of them.",
}
"""Snakemake's exception → what to do, where its own words do not say it."""


LOCKED = "Error: Directory cannot be locked."
"""How Snakemake begins where another command has the folder, or was killed in it."""


def _unlocking(words, refused):
    """The sentence on a locked folder. words: the command's, without `snakemake`.

    refused: whether the command is, which a plan is not.
    """
    rest = [word for word in words if word not in ("-n", "--dry-run", "--dryrun")]
    command = shlex.join(["snakemake", "--unlock", *rest])
    said = f"{os.getcwd()} is locked by a Snakemake command that runs there or was killed"
    if refused:
        return f"{said}: once you are sure that none runs, remove the lock by `{command}`"
    return (
        f"{said}. This plan needs no lock; a run is refused until that command ends or, where none "
        f"runs, `{command}` removes the lock"
    )


def _with_cure(record):
    """Lets every record pass; a refusal of Snakemake's own gets the sentence that it lacks."""
    if record.getMessage().removeprefix("LockException:\n").startswith(LOCKED):
        record.msg, record.args = _unlocking(sys.argv[1:], refused=_is_error(record)), ()
    cure = CURES.get(getattr(record, "exception", ""))
    if cure and not record.getMessage().endswith(cure):
        record.msg, record.args = f"{record.getMessage()}\n{cure}", ()
    return True


def _alone(record):
    """Lets every record pass; of a Refusal its sentence is left."""
    text = record.getMessage()
    if before := BEFORE.match(text):
        record.msg, record.args = textwrap.dedent(AFTER.sub("", text[before.end() :])), ()
    return True


def _killed(record, name):
    """The sentence on a job that the signal `name` ended; the files of rules are not repeated."""
    return f"✗ {record.rule_name}: {endings.sentence(name)}\n  (log: {', '.join(record.log)})"


class _Unsaid:
    """Lets pass what no job has said: two records follow the line of a job that failed.

    The first is Snakemake's exception, the second repeats the rule's files. Of a job that a signal
    ended the second becomes a sentence.
    """

    def __init__(self):
        self.said = 0
        self.killed = collections.deque()  # signals of jobs that nothing was said of yet

    def filter(self, record):
        event = getattr(record, "event", None)
        if event == "error" and record.getMessage().rstrip().endswith(OF_SCRIPT):
            self.said += 1
            return False
        name = endings.signal_of(record.getMessage().rstrip()) if event == "error" else None
        if name:
            self.killed.append(name)
            return False
        if event == "job_error" and self.killed and not getattr(record, "rule_msg", None):
            record.msg, record.args = _killed(record, self.killed.popleft()), ()
            record.event = None  # as it is, without the files of the rule
            return True
        if event == "job_error" and self.said and not getattr(record, "rule_msg", None):
            self.said -= 1
            return False
        return True
