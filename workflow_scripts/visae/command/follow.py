"""A run of Snakemake as one line per job and a bar with the time left.

Every job prints a line of its own, "✓ train_main (4.1 s)" or "✗ …" (`visae.base.job`). Snakemake
then reports "12 of 96 steps (13%) done". Targets such as `all` run nothing and are not counted.
Errors and whatever else is not routine pass through. Of a dry run there is the table of jobs.
"""

import re
import statistics
import sys
import time
from collections import deque

from tqdm import tqdm

from visae.products import PRODUCTS
from visae.study.targets import GATHERING

ROUTINE = re.compile(
    r"\[.* \d{4}\]$|Finished jobid|Select jobs|Execute \d+ jobs|Assuming|Using shell|Building DAG"
    r"|Provided cores|Rules claiming|Job stats|Job \d+:|localrule |Complete log|Elapsed time"
    r"|-+ +-+$|Config file|Reason|rule \w+:|checkpoint "
    r"|SNAKEMAKE$|=+$|  [A-Z][\w ()]+: |Using (profile|workflow)"
    r"|Provided resources|Conda environments"
    r"|    (input|output|jobid|reason|resources|log|benchmark|wildcards|threads|params):|\s*$"
)
FAR = re.compile(r"  ([a-z]\w*[^:]*): (\d.* \([^()]*\))$")
"""How far a job is (`visae.base.progress`): its title, and that."""
TOOK = re.compile(r"✓ (\w+).* \((\d+\.\d) s\)$")
"""The end of a job: its rule, and how long it took."""
STEPS = re.compile(r"(\d+) of (\d+) steps")
COUNT = re.compile(r"(\w+) +(\d+)$")
"""A row of the table of jobs; the last is the total."""
ENDED = re.compile(r"Finished jobid: \d+ \(Rule: (\w+)\)$")
HEADER = re.compile(r"job +count$")
DRY = "This was a dry-run"
SECONDS_APART = 60
"""Between lines about the time left, where the output is no terminal."""


def follow(lines, out=None, log=None, clock=time.monotonic):
    """Write what matters of a run's `lines` to `out`, and the lines to `log`.

    How far a job is stands beside the bar, or comes once a minute where there is none.

    lines: Snakemake's output as it comes. out: a text stream (standard output); on a terminal it
    ends with a bar. log: a text stream, or None. clock: seconds, for tests.
    """
    out = out or sys.stdout
    finished, started, said = deque(), clock(), clock()
    table, why = [], False  # of jobs, and whether reasons for them are being told
    counts, gathered = {}, 0  # rule → its jobs, and how many targets are complete
    taken = []  # (rule, seconds) of each job that is complete
    told = {}  # title of a job → when it was said last how far it is
    bar = tqdm(file=out, unit="job", disable=None, dynamic_ncols=True, leave=False)
    for line in lines:
        far = FAR.match(line)
        often = far and clock() - told.get(far[1], -SECONDS_APART) < SECONDS_APART
        if far and not often:
            told[far[1]] = clock()
        if log and not often:
            log.write(line)
            log.flush()
        why = line.startswith("Reasons:") or (why and line.startswith("    "))
        if HEADER.match(line):
            table.clear()  # a dry run prints it twice
            counts.clear()
        elif row := COUNT.match(line):
            table.append(line)
            counts[row[1]] = int(row[2])
            if row[1] == "total":
                bar.total = _lines_of(counts)
                bar.refresh()
        elif far:
            bar.set_postfix_str(f"{far[1]}: {far[2]}")
            if bar.disable and not often:
                _write(bar, out, line)
        elif line.startswith("✓ "):
            finished.append(line)
            if took := TOOK.match(line):
                taken.append((took[1], float(took[2])))
            bar.set_postfix_str("")
        elif ended := ENDED.match(line):
            gathered += _gathers(ended[1])
        elif steps := STEPS.match(line):
            done = int(steps[1]) - gathered
            total = _lines_of(counts | {"total": int(steps[2])})
            if finished:
                _write(bar, out, f"[{done}/{total}] {finished.popleft()}")
            bar.total = total
            bar.update(done - bar.n)
            left = _seconds_left(counts, taken, clock() - started)
            if bar.disable and left and clock() - said >= SECONDS_APART:
                said = clock()
                _write(bar, out, f"[{done}/{total}] about {tqdm.format_interval(left)} left\n")
        elif line.startswith(DRY):
            _write(bar, out, "".join([*table, line]))
        elif not (why or ROUTINE.match(line)):
            _write(bar, out, line)
    bar.close()


def _seconds_left(counts, taken, elapsed):
    """How long the rest of a run takes, or None where too little is known.

    A job takes as long as the median of its rule, of its step (the rule's first word) or else of
    all jobs; the rest goes on at the pace at which jobs went so far.
    """
    known, all_seconds, left = {}, [seconds for _, seconds in taken], dict(counts)
    left.pop("total", None)
    for rule, seconds in taken:
        left[rule] = left.get(rule, 0) - 1
        for key in {rule, rule.partition("_")[0]}:
            known.setdefault(key, []).append(seconds)
    left = {rule: n for rule, n in left.items() if n > 0 and not _gathers(rule)}
    like = {rule: known.get(rule) or known.get(rule.partition("_")[0]) for rule in left}
    unknown = sum(n for rule, n in left.items() if not like[rule])
    if not sum(all_seconds) or unknown > 0.8 * sum(left.values()):
        return None
    rest = sum(n * statistics.median(like[rule] or all_seconds) for rule, n in left.items())
    return rest * elapsed / sum(all_seconds)


def _lines_of(counts):
    """How many jobs of the table print a line."""
    return counts["total"] - sum(number for rule, number in counts.items() if _gathers(rule))


def _gathers(rule):
    """Whether a rule runs nothing, as `all`, or `matches` for its table and its figure."""
    return rule in GATHERING or {f"{rule}_table", f"{rule}_figure"} <= set(PRODUCTS)


def _write(bar, out, text):
    if bar.disable:
        out.write(text)
        out.flush()
    else:
        bar.write(text, file=out, end="")


if __name__ == "__main__":
    follow(sys.stdin)
