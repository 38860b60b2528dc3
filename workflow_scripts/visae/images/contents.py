"""What a record's path means: a file, or a part of one. An image is known by that, not by its name.

Everything that opens, measures or compares images asks here.
"""

import contextlib
import hashlib
import io
import os

from visae.images import arrow

_END = 4096


def file_of(path):
    """The file that holds what `path` names: itself, or the container around it."""
    return arrow.file_of(path) if arrow.is_arrow_row(path) else str(path)


@contextlib.contextmanager
def opened(path):
    """A binary stream of the encoded image at `path`; OSError where there is none."""
    if arrow.is_arrow_row(path):
        yield io.BytesIO(arrow.image_bytes(path))
    else:
        with open(path, "rb") as stream:
            yield stream


def size_of(path):
    """Bytes of the encoded image at `path`."""
    if arrow.is_arrow_row(path):
        return arrow.size_of(path)
    return os.stat(path).st_size


def digest_of(path, whole):
    """SHA-256 of the encoded image at `path`, or of its last 4,096 bytes.

    Files of one camera begin alike, so that the end tells them apart.
    """
    with opened(path) as stream:
        if not whole:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _END))
        return hashlib.file_digest(stream, "sha256").digest()
