"""Cut Snakemake's log (stdin) down to one line per finished job: "[12/96] ✓ train_main (4.1 s)".

Each job prints its own ✓ or ✗ line; Snakemake then reports "12 of 96 steps (13%) done". Errors
and whatever else is not routine pass through.
"""

import re
import sys
from collections import deque

ROUTINE = re.compile(
    r"\[.* \d{4}\]$|Finished jobid|Select jobs|Execute \d+ jobs|Assuming|Using shell|Building DAG"
    r"|Provided cores|Rules claiming|Job stats|Job \d+:|localrule |Complete log|Elapsed time"
    r"|job +count$|-+ +-+$|\w+ +\d+$|Config file|Reason|rule \w+:|checkpoint "
    r"|    (input|output|jobid|reason|resources|log|benchmark|wildcards|threads|params):|\s*$"
)

finished = deque()
for line in sys.stdin:
    if line.startswith("✓ "):
        finished.append(line)
    elif steps := re.match(r"(\d+) of (\d+) steps", line):
        if finished:
            sys.stdout.write(f"[{steps[1]}/{steps[2]}] {finished.popleft()}")
            sys.stdout.flush()
    elif not ROUTINE.match(line):
        sys.stdout.write(line)
        sys.stdout.flush()
