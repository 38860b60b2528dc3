"""Writing files so that one which exists is whole."""

import contextlib
import errno
import glob
import json
import os
import re
import socket
import time
import uuid
from pathlib import Path

from visae.base.errors import UserError

CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""A full disk, a used-up quota, a file larger than is allowed, a disk closed to writing."""


ABANDONED = 3 * 24 * 3600
"""Seconds without a write after which another machine's unfinished file counts as left behind."""


@contextlib.contextmanager
def atomic_path(path):
    """Yield a temporary path in the same folder; rename it to `path` if the block succeeds.

    Two writers of one path, on one machine or on two, do not meet: the last one to end stays. A
    killed process leaves at most a hidden
    `.stem.<machine>.<process>-<its start>.<random>.partial.suffix`.
    Nothing reads it, and the next writer of that path removes it (`_abandoned`). Content reaches
    the disk before the name does, and the name before this returns: a power loss leaves no part.
    The file gets the mode that the process's umask gives, also from libraries that write for the
    user alone.
    Raises UserError where the disk is full or closed to writing.
    """
    path = Path(path)
    stem = path.stem.encode()[:STEM_BYTES].decode(errors="ignore")
    writer = f"{_machine()}.{os.getpid()}-{_start(os.getpid())}.{uuid.uuid4().hex[:8]}"
    temporary = path.with_name(f".{stem}.{writer}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(stem)}.*.partial{glob.escape(path.suffix)}"):
            if _abandoned(left, stem):
                left.unlink(missing_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        if temporary.stat().st_mode != mode:
            temporary.chmod(mode & 0o777)
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except Exception as error:
        if reason := _cannot_write(error, temporary):
            raise UserError(
                f"{path} cannot be written: {reason}. Make room there, or move the results to "
                "another disk, and run the same command again: what is complete is kept"
            ) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder):
    """Let the disk know the names in `folder`; a file system that cannot is left alone."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


STEM_BYTES = 100
"""How much of a file's stem its temporary name holds, since a name has 255 bytes at most."""


def _machine():
    """This machine's name, as it may stand between two points."""
    return re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())[:60]


def _abandoned(partial, stem):
    """Whether nobody writes the unfinished file `partial` any more.

    Its process has ended, if that ran on this machine; else nothing was written for `ABANDONED` s.
    """
    name = re.escape(stem)
    found = re.match(rf"\.{name}\.([^.]*)\.(\d+)-(\d+)\.[0-9a-f]{{8}}\.partial", partial.name)
    if found is None:
        return False  # of another path, whose stem begins with this one
    machine, process, start = found.groups()
    if machine == _machine() and _ended(int(process), int(start)):
        return True
    try:
        return time.time() - partial.stat().st_mtime > ABANDONED
    except FileNotFoundError:
        return False  # its writer has ended, or another one removed it


def _ended(process, start):
    """Whether the process of this number that started at `start` (`_start`) runs no more.

    The number alone does not tell: many a machine gives 32,768 of them, and then the first again.
    """
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's
    return start != UNKNOWN and _start(process) not in (start, UNKNOWN)


UNKNOWN = 0
"""The start of a process that this system does not tell."""

REAPED_LATER = -1
"""The start of a process that has ended, and that its parent has not asked for yet."""


def _start(process):
    """When `process` started, in ticks since the machine did (proc(5), `starttime`)."""
    try:
        told = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return UNKNOWN  # no Linux, or a /proc that shows one's own processes only
    state, *numbers = told.rpartition(b")")[2].split()  # its name comes before, with any signs
    return REAPED_LATER if state in b"ZX" else int(numbers[18])


def _cannot_write(error, temporary):
    """In words, why no more can be written to the file `temporary`; None if `error` is another one.

    Some writers raise errors that have the number in their text only, or that do not tell at all:
    then some more bytes are tried.
    """
    errors = [error]
    try:
        with open(temporary, "ab") as handle:
            handle.write(bytes(4096))
    except OSError as told:
        errors.append(told)
    for number in CANNOT_WRITE:
        if any(e.errno == number for e in errors if isinstance(e, OSError)):
            return os.strerror(number)
        if os.strerror(number) in str(error):
            return os.strerror(number)
    return None


def write_text(path, text):
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, value):
    """Write `value` as indented JSON; NaN and infinity are refused (JSON has neither)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
