"""What a data set was made of when it was indexed: its folders and lists, their names and sizes.

It tells later what has changed since. A folder's time changes with its entries, so that a data set
of a million files in a thousand folders costs a thousand `stat` when nothing has changed.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

from visae.base.fingerprints import of_file
from visae.base.progress import counted
from visae.base.reading import parse_json
from visae.base.seals import read_text_beside, write_beside
from visae.images.contents import file_of

FORMAT = "visae-inventory-1"
SIZES = 10_000
"""So many files at most are measured when changes are looked for."""


class Entry(NamedTuple):
    """A folder, or a list of the layout. files: name → bytes; of a list, "" → digest.

    Names of folders end with `/` and have no size. Nor has any file where there are more than
    `SIZES`. Paths are relative to the data set's root.
    """

    path: str
    time: int
    files: dict


class Changes(NamedTuple):
    """Paths below the root that were added, removed, or hold something else now."""

    added: list
    removed: list
    changed: list


def take(root, records, lists):
    """The Entries of a data set: folders of `records` (with those around them), and its lists.

    lists: patterns below `root` of the files that say which images there are (`Layout.lists`).
    """
    root = Path(root)
    folders = set()
    for folder in {file_of(path).rpartition("/")[0] for r in records for path in r[1::3] if path}:
        folders.add(folder)
        parts = folder.split("/")
        folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
    listed = counted(sorted(folders), "folders noted", len(folders))
    entries = [_folder(root, folder, sizes=False) for folder in listed]
    if sum(len(entry.files) for entry in entries) <= SIZES:  # else nobody compares them
        entries = [_folder(root, folder, sizes=True) for folder in sorted(folders)]
    return entries + [_list(root, name) for name in _listed(root, lists)]


def left_out(entries, records):
    """Sentences on the files of the folders that are no part of `records`, one for each suffix."""
    used = {file_of(path) for r in records for path in r[1::3]}
    used |= {entry.path for entry in entries if "" in entry.files}
    found = {}
    for entry in entries:
        for name in entry.files:
            path = _joined(entry.path, name)
            if name and not name.endswith("/") and path not in used:
                found.setdefault(os.path.splitext(name)[1].lower(), []).append(path)
    return [
        f"Left out: {len(paths)} file(s) {f'named *{suffix}' if suffix else 'without a suffix'}, "
        f"the first is {paths[0]}."
        for suffix, paths in sorted(found.items())
    ]


def changes(root, entries, lists):
    """What of the `entries` has changed below `root`: Changes, or None."""
    root = Path(root)
    found = Changes([], [], [])
    measured = sum(len(entry.files) for entry in entries) <= SIZES
    known_lists = set()
    for entry in entries:
        if "" in entry.files:
            known_lists.add(entry.path)
            _compare_list(root, entry, found)
        else:
            _compare_folder(root, entry, measured, found)
    found.added.extend(name for name in _listed(root, lists) if name not in known_lists)
    # A folder that is gone is named by the one around it, not by each of its files.
    return found if any(found) else None


def described(found):
    """Changes in words: `2 added (train/cat/7.png …), 1 removed (train/dog/3.png)`."""
    return ", ".join(
        f"{len(paths)} {word} ({min(paths)}{' …' if len(paths) > 1 else ''})"
        for word, paths in zip(Changes._fields, found, strict=True)
        if paths
    )


def write(path, entries):
    """Write `index/{dataset}/inventory.tsv`: one line per entry, its fields as JSON."""
    lines = ("\t".join(map(json.dumps, entry)) + "\n" for entry in entries)
    write_beside(path, FORMAT, "".join(lines))


def read(path):
    """The Entries that `write` wrote."""
    lines = read_text_beside(path, FORMAT).splitlines()
    return [Entry(*map(parse_json, line.split("\t"))) for line in lines]


def _folder(root, folder, sizes):
    inside = root / folder
    time = inside.stat().st_mtime_ns
    files = {}
    with os.scandir(inside) as found:
        for item in found:
            if item.name.startswith("."):
                continue
            if item.is_dir():
                files[item.name + "/"] = None
            else:
                files[item.name] = _size(item) if sizes else None
    return Entry(folder, time, dict(sorted(files.items())))


def _size(item):
    try:
        return item.stat().st_size
    except OSError:  # a link to nothing
        return None


def _list(root, name):
    return Entry(name, (root / name).stat().st_mtime_ns, {"": of_file(root / name)})


def _listed(root, lists):
    return sorted(
        {
            path.relative_to(root).as_posix()
            for p in lists
            for path in root.glob(p)
            if path.is_file()
        }
    )


def _compare_list(root, entry, found):
    try:
        if (root / entry.path).stat().st_mtime_ns == entry.time:
            return
        if _list(root, entry.path).files != entry.files:
            found.changed.append(entry.path)
    except OSError:
        found.removed.append(entry.path)


def _compare_folder(root, entry, measured, found):
    """Names where the folder's time has changed; sizes as well where they are few."""
    try:
        if not measured and (root / entry.path).stat().st_mtime_ns == entry.time:
            return
        now = _folder(root, entry.path, sizes=measured).files
    except OSError:
        if "/" not in entry.path:  # else the folder around it tells
            found.removed.append(entry.path + "/")
        return
    found.added.extend(_joined(entry.path, name) for name in now.keys() - entry.files.keys())
    found.removed.extend(_joined(entry.path, name) for name in entry.files.keys() - now.keys())
    if measured:
        found.changed.extend(
            _joined(entry.path, name)
            for name, size in entry.files.items()
            if name in now and now[name] != size
        )


def _joined(folder, name):
    return f"{folder}/{name}" if folder else name
