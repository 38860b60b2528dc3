"""Containers of one split among others: found by name, and complete if their names count them."""

import itertools
import re

from visae.base.errors import UserError

_COUNTED = re.compile(r"(.*)-(\d{4,})-of-(\d{4,})\.\w+")
_NUMBERED = re.compile(r"(.*?)(\d+)\.\w+")
_BRACES = re.compile(r"(.*?)\{([^{}]*)\}(.*)", re.DOTALL)
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def of_split(files, base, split):
    """Those of `files` below `base` that are the split's, [] if none is.

    The name of a file is the split's (with a number), or else that of its folder is, or else either
    has it as a word.
    """
    whole = re.compile(rf"{re.escape(split)}(-\d+-of-\d+|[-_]?\d+)?")
    word = re.compile(rf"(?<![A-Za-z0-9]){re.escape(split)}(?![A-Za-z0-9])")
    for is_own in (
        lambda file: whole.fullmatch(file.stem),
        lambda file: file.parent != base and file.parent.name == split,
        lambda file: word.search(file.stem),
        lambda file: any(map(word.search, file.relative_to(base).parts[:-1])),
    ):
        found = [file for file in files if is_own(file)]
        if found:
            return found
    return []


def visible(base, pattern):
    """Files below `base` whose names fit, without those in hidden folders, sorted."""
    return sorted(
        file
        for file in base.rglob(pattern)
        if not any(part.startswith(".") for part in file.relative_to(base).parts)
    )


def complete(files, split, source):
    """`files` of a split in their order, if none of those that their names count is missing.

    Raises:
        UserError: one of `…-00000-of-00002` is missing, or one between others that are numbered;
            two such sets are mixed; a link to nothing. `source`: where the data set is to be had.
    """
    files = sorted(files)
    for file in files:
        if not file.exists():
            raise UserError(f"{file} is a link to nothing: get the file again from {source}.")
    counted = _sets(files, _COUNTED)
    for (folder, name, total), members in counted.items():
        _check(folder, name, set(range(int(total))) - members, split, source)
    if len({key[:2] for key in counted}) < len(counted):
        totals = " and ".join(sorted(total for *_, total in counted))
        raise UserError(
            f"The files of the split '{split}' in {files[0].parent} are of two numbered sets, of "
            f"{totals}: remove those of the older one."
        )
    if not counted:
        for (folder, name), members in _sets(files, _NUMBERED).items():
            between = set(range(min(members), max(members))) - members
            _check(folder, name, between, split, source)
    return files


def expanded(pattern):
    """A pattern as WebDataset has them, written out: `a-{000..002}.tar` is three names."""
    found = _BRACES.fullmatch(pattern)
    if not found:
        return [pattern]
    before, inside, after = found.groups()
    choices = itertools.chain.from_iterable(map(_range, inside.split(",")))
    return [name for choice in choices for name in expanded(f"{before}{choice}{after}")]


def _range(text):
    ends = _RANGE.fullmatch(text)
    if not ends:
        return [text]
    first, last = ends.groups()
    return [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]


def _sets(files, numbered):
    """(folder, name, …) → numbers of the files that are named so."""
    sets = {}
    for file in files:
        if found := numbered.fullmatch(file.name):
            name, number, *total = found.groups()
            sets.setdefault((file.parent, name, *total), set()).add(int(number))
    return sets


def _check(folder, name, missing, split, source):
    if missing:
        raise UserError(
            f"{len(missing)} file(s) of the split '{split}' are not in {folder}, the first is "
            f"number {min(missing)} of {name}…: get it from {source}, or name the files that there "
            "are to be."
        )
