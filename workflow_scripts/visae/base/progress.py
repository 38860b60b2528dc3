"""How far long work is: what, how much of it, how long still. One line now and then.

A script's `visae.base.job.run` says where the lines of a job go, and the command `visae` where its
own go. Elsewhere nothing is shown.
"""

import os
import time

FIRST = 5.0
"""Seconds until the first line; what takes less shows none."""

INTERVAL = 60.0
"""Seconds between two lines of a log."""

OFTEN = "VISAE_PROGRESS_SECONDS"
"""Environment variable: seconds between two lines, where somebody draws a bar of them."""

_shown, _interval = None, INTERVAL


def show(line, interval=None):
    """From here on, call `line` with the text of each line; None for no lines.

    interval: seconds between two lines; by default what the environment says, or a minute.
    """
    global _shown, _interval
    _shown, _interval = line, interval or float(os.environ.get(OFTEN, INTERVAL))


def counted(items, what, total=None, size=None, done=0):
    """Yield `items`, and say now and then how many of `total` there were.

    what: "images listed". size: item → how many it stands for, if not one. done: how many there
    were before, when work is resumed.
    """
    if _shown is None:
        yield from items
        return
    count = Count(what, total, done)
    for item in items:
        yield item
        count(1 if size is None else size(item))


class Count:
    """`count(number)` says now and then how many of `total` there were: for what is no loop."""

    def __init__(self, what, total=None, done=0):
        self._what, self._total, self._done, self._before = what, total, done, done
        self._start = time.monotonic() if _shown else 0.0
        self._due = self._start + FIRST

    def __call__(self, number=1):
        if _shown is None:
            return
        self._done += number
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _interval
            _shown(self._line(now - self._start))

    def _line(self, seconds):
        if not self._total:
            return f"{self._done:,} {self._what} ({_duration(seconds)})"
        new = self._done - self._before
        left = seconds * (self._total - self._done) / new if new else None
        end = f", {_duration(left)} left" if left is not None else ""
        return f"{self._done:,} of {self._total:,} {self._what} ({_duration(seconds)}{end})"


def _duration(seconds):
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
