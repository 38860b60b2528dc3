#!/usr/bin/env bash
# Versions: h5py 3.16.0, numpy 2.4.6; Python 3.11 or newer.
#
# Data: a file with two data sets; a loop over `file.items()` that an exception ends.
#
# Guess: an exception that ends a loop over a file leaves nothing behind; other threads read and write.
# Seen: h5py holds its one lock, of all files, from one step of the loop to the next. The exception keeps
#   the frame with the unfinished iterator. While it is kept, another thread that reads another file waits.
#   It goes on as soon as the exception is forgotten. A loop over `list(file.items())` holds no lock.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check h5py==3.16.0 numpy==2.4.6
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os
import threading

import h5py

paths = [os.path.join(os.environ["FOLDER"], name) for name in ("a.h5", "b.h5")]
for path in paths:
    with h5py.File(path, "w") as file:
        file["first"], file["second"] = [1, 2], [3, 4]
        file.attrs["third"], file.attrs["fourth"] = 5, 6


def read():
    """Whether a thread reads the other file within two seconds."""
    def work():
        with h5py.File(paths[1]) as other:
            other["first"][:]
        done.set()

    done = threading.Event()
    threading.Thread(target=work, daemon=True).start()
    return done, done.wait(2)


def first_of(found):
    for one in found:
        raise ValueError(one)


def stopped(items):
    """The exception that ended a loop; its traceback keeps the frame with the iterator."""
    with h5py.File(paths[0]) as file:
        try:
            first_of(iter(items(file)))
        except ValueError as error:
            return error


print("h5py", h5py.__version__)
LOOPS = {
    "items()": (lambda file: file.items(), False),
    "attrs.items()": (lambda file: file.attrs.items(), False),
    "list(items())": (lambda file: list(file.items()), True),
    "names of data sets": (lambda file: file, True),
    "names of attributes": (lambda file: file.attrs, True),
}
for name, (items, expected) in LOOPS.items():
    kept = stopped(items)
    done, came_back = read()
    print(f"unfinished loop over {name}: the other thread reads:", came_back)
    kept = None
    later = done.wait(5)
    print("after the exception is forgotten:", later)
    assert (came_back, later) == (expected, True), name
PYTHON
echo "as stated"
