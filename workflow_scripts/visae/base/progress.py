"""Lines on how far a long job is, on the terminal and in its log: one now and then.

A script's `visae.base.job.run` says where they go. Outside of jobs nothing is shown.
"""

import time

INTERVAL = 20.0
"""Seconds between two lines; a job that takes less shows none."""

_shown = None


def show(line):
    """From here on, call `line` with the text of each line; None for no lines."""
    global _shown
    _shown = line


def counted(items, what, total=None, size=None):
    """Yield `items`, and say every `INTERVAL` seconds how many of `total` there were.

    what: "images listed". size: item → how many it stands for, if not one.
    """
    if _shown is None:
        yield from items
        return
    start = told = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1 if size is None else size(item)
        now = time.monotonic()
        if now - told >= INTERVAL:
            told = now
            _shown(_line(what, done, total, now - start))


def _line(what, done, total, seconds):
    if not total:
        return f"{done:,} {what} ({_duration(seconds)})"
    left = seconds * (total - done) / done if done else None
    end = f", {_duration(left)} left" if left is not None else ""
    return f"{done:,} of {total:,} {what} ({_duration(seconds)}{end})"


def _duration(seconds):
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
