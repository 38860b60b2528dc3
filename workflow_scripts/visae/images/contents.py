"""What a record's path means: a file, or a part of one. An image is known by that, not by its name.

Everything that opens, measures or compares images asks here.
"""

import contextlib
import hashlib
import io
import os

from visae.images.containers import column_of, inside, tables, tar

_READERS = {"arrow": tables, "parquet": tables, "tar": tar}
_END = 4096


def file_of(path):
    """The file that holds what `path` names: itself, or the container around it."""
    found = inside(path)
    return found.file if found else str(path)


@contextlib.contextmanager
def opened(path):
    """A binary stream of the encoded image at `path`; OSError where there is none."""
    if found := inside(path):
        yield io.BytesIO(_READERS[found.kind].content(found))
    else:
        with open(path, "rb") as stream:
            yield stream


def size_of(path):
    """Bytes of the encoded image at `path`."""
    if found := inside(path):
        return _READERS[found.kind].size(found)
    return os.stat(path).st_size


def mode_of(path):
    """Pillow's mode that the container declares for its pictures, or None."""
    found = inside(path)
    return column_of(found.part)[1] if found else None


def digest_of(path, whole):
    """SHA-256 of the encoded image at `path`, or of its last 4,096 bytes.

    Files of one camera begin alike, so that the end tells them apart.
    """
    with opened(path) as stream:
        if not whole:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _END))
        return hashlib.file_digest(stream, "sha256").digest()
