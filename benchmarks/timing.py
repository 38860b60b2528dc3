"""Wall clock and CPU time side by side: on a busy machine only the second means much."""

import resource
import time
from typing import NamedTuple


class Timing(NamedTuple):
    """Seconds; CPU seconds include those of worker processes that have ended."""

    seconds: float
    cpu_seconds: float

    def scaled(self, factor):
        """What `factor` times the work would take."""
        return Timing(self.seconds * factor, self.cpu_seconds * factor)


def total(timings):
    """The sum of some Timings."""
    return Timing(*map(sum, zip(*timings, strict=True)))


def clock(function, *arguments, **settings):
    """(result of function(*arguments, **settings), Timing)."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    result = function(*arguments, **settings)
    return result, Timing(time.perf_counter() - wall, _cpu_seconds() - cpu)


def best_times(repeats, **functions):
    """A Timing of each function, the best of some repetitions.

    The functions are called in turn, since other work on the machine slows all of them, and
    once before the clock starts.
    """
    times = {name: [] for name in functions}
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            _, timing = clock(function)
            if repeat:
                times[name].append(timing)
    return {name: Timing(*map(min, zip(*values, strict=True))) for name, values in times.items()}


def peak_megabytes():
    """The largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu_seconds():
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)
