"""Processes that a signal ends: what is said of them, and a handler that never waits for itself."""

import contextlib
import re
import signal
import threading

AGAIN = "run the same command again: it goes on with what is complete"

_DAMAGED = "an input may be damaged, so get again what was read there, or else install it again"
CRASHES = {
    "SIGSEGV": _DAMAGED,
    "SIGABRT": _DAMAGED,
    "SIGFPE": _DAMAGED,
    "SIGBUS": "a file may have been cut short as it was read, or /dev/shm be full, so see to that",
    "SIGILL": "it may be built for another processor, so install it again on this machine",
}
"""Signal with which code that is not Python's ends → what that may mean, and the cure.

These are the signals of `faulthandler`, by which a job's log says where it was.
"""

_DIED = re.compile(r"died with <Signals\.(SIG\w+): \d+>\.$|non-zero exit status (\d+)\.$")


def signal_of(text):
    """The name of the signal that the end of a `CalledProcessError` tells, or None.

    A shell that waits for a command hands its signal on as an exit status, 128 above its number.
    """
    if not (found := _DIED.search(text)):
        return None
    with contextlib.suppress(ValueError):  # an exit status that no signal has
        return found[1] or signal.Signals(int(found[2]) - 128).name
    return None


def sentence(name):
    """How the signal `name` ended a process, what that probably means, and what to do."""
    if name in CRASHES:
        return (
            f"a library that it calls crashed ({name}); its log, if it had begun, says where: "
            f"{CRASHES[name]}"
        )
    by = " (by somebody, or because the memory was full)" if name == "SIGKILL" else ""
    return f"ended from outside by {name}{by}; {AGAIN}"


def handle_in_a_thread(number):
    """Have the handler that the signal `number` has run in a thread of its own, each time.

    Snakemake's takes a lock that the main thread has while it notes which jobs have ended. A
    handler runs in that thread, which would then wait for itself without end.
    """
    handler = signal.getsignal(number)
    if not callable(handler):  # the system's own way, which takes no lock
        return

    def begin(*arguments):
        threading.Thread(target=handler, args=arguments).start()

    signal.signal(number, begin)
