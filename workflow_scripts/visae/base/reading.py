"""Reading files: what is read is well-formed, or a UserError names the file, the fault, the cure.

Whatever the bytes of a file are, nothing else leaves `guarded`, inside of which every reader of the
library works. Texts, JSON, YAML and CSV are read here alone, and strictly: what two programs could
read in two ways (a key that stands there twice, a row of another length, a number that is none) is
refused.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import yaml

from visae.base.errors import UserError

CURE = "remove it and run the workflow again"

DEEPEST = 100
"""How deep YAML may be nested."""

CANNOT_OPEN = (errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)
"""Too many open files, no permission, trouble with the disk: nothing is said of the file."""


def unreadable(path, error, what, cure):
    """The UserError of an OSError: what is wrong with the file, or that it may be whole.

    what: which file it is not, `HDF5`. cure: what to do if that is so.
    """
    for number in CANNOT_OPEN:
        if error.errno == number or os.strerror(number) in str(error):
            return UserError(
                f"{path} cannot be opened ({os.strerror(number)}), though it may be whole: see to "
                "that, and run the same command again"
            )
    said = " ".join(str(error).split())  # some libraries say it in several lines
    return UserError(f"{path} is missing, truncated or not {what} ({said}): {cure}")


@contextlib.contextmanager
def guarded(path: str | Path, what: str, cure: str = CURE) -> Iterator[os.stat_result]:
    """Within the block the file at `path` is read: whatever that raises becomes a UserError.

    what: what the file is to be, `HDF5`. Yields the file's status. Raises UserError before the
    block where no file lies at `path`, but a folder, a pipe or a device, which could keep the
    reader waiting.
    """
    with refusing(path, what, cure):
        facts = os.stat(path)
        if not stat.S_ISREG(facts.st_mode):
            raise UserError(f"{path} is a folder, a pipe or a device, but no file: {cure}")
        yield facts


@contextlib.contextmanager
def refusing(path: str | Path, what: str, cure: str = CURE) -> Iterator[None]:
    """As `guarded`, of several files in the folder `path`."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise unreadable(path, error, what, cure) from error
    except Exception as error:
        # MemoryError says nothing, and a KeyError only its key.
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        said = " ".join(said[:300].encode(errors="backslashreplace").decode().split())
        raise UserError(f"{path} is damaged or not {what} ({said}): {cure}") from error


# ---------------------------------------------------------------- text


def read_text(path: str | Path, what: str = "text", cure: str = CURE) -> str:
    """The text of a file in UTF-8, line ends as they are."""
    with guarded(path, what, cure):
        text = Path(path).read_bytes().decode("utf-8")
        if "\0" in text:
            raise ValueError("it holds zero bytes")
        return text


# ---------------------------------------------------------------- JSON and YAML


def read_json(path: str | Path, cure: str = CURE) -> Any:
    """The value in a JSON file, see `parse_json`."""
    with guarded(path, "JSON", cure):
        return parse_json(read_text(path, "JSON", cure))


def lines_of(text: str) -> list[str]:
    r"""The lines of a text: `\n` ends one, or `\r\n`, and no other character does.

    `str.splitlines` cuts at characters that JSON, CSV and people's names may hold (U+2028).
    """
    lines = text.split("\n")
    lines = lines if lines[-1] else lines[:-1]
    return [line.removesuffix("\r") for line in lines]


def parse_json_lines(text: str, path: str | Path, cure: str = CURE) -> list[dict[str, Any]]:
    """The objects in the text of the file at `path`, one on each line."""
    with refusing(path, "lines of JSON", cure):
        records = [parse_json(line) for line in lines_of(text)]
        if not all(isinstance(record, dict) for record in records):
            raise ValueError("a line holds no object")
        return records


def parse_json(text: str) -> Any:
    """The value that a JSON text stands for.

    Raises ValueError (or RecursionError) for NaN, infinity, numbers that no float holds, keys that
    stand in an object twice, and text that is no JSON or that UTF-8 cannot hold.
    """
    value = json.loads(
        text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_unique
    )
    if "\\u" in text:  # half of a surrogate pair can be written so
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _no_number(constant):
    raise ValueError(f"{constant} is no number of JSON")


def _finite(text):
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


def _unique(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {repeated!r} stands there twice")
    return found


def read_yaml(path: str | Path, cure: str = CURE) -> Any:
    """The value in a YAML file, see `parse_yaml`."""
    with guarded(path, "YAML", cure):
        return parse_yaml(read_text(path, "YAML", cure))


def parse_yaml(text: str) -> Any:
    """The value that a YAML text stands for, of plain types.

    Raises ValueError or YAMLError for NaN, infinity, keys that stand in a mapping twice, and text
    that is no YAML.
    """
    refuse_deep(text)
    return yaml.load(text, _Strict)


def refuse_deep(text: str) -> None:
    """ValueError for YAML that is nested deeper than `DEEPEST`: its parser may not live."""
    depth = 0
    for event in yaml.parse(text, _Strict):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")


# libyaml, where PyYAML has it, is eight times as fast.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Strict(_Loader):
    """Plain types; what YAML leaves open is refused."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) != len(keys):
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"the key {repeated!r} stands there twice{node.start_mark}")
        return super().construct_mapping(node, deep)

    def construct_yaml_float(self, node):
        value = super().construct_yaml_float(node)
        if not math.isfinite(value):
            raise ValueError(f"{node.value} is no finite number{node.start_mark}")
        return value


_Strict.add_constructor("tag:yaml.org,2002:float", _Strict.construct_yaml_float)


# ---------------------------------------------------------------- CSV


class Row(NamedTuple):
    """A row of a table of text: the number of its last line in the file, column → cell."""

    line: int
    cells: dict[str, str]


def read_csv(
    path: str | Path, headers: Iterable[Sequence[str]], cure: str = CURE, delimiter: str = ","
) -> list[Row]:
    """The rows of a file that `csv.writer` wrote, see `parse_csv`."""
    with guarded(path, "a table", cure):
        return parse_csv(read_text(path, "a table", cure), path, headers, cure, delimiter)


def parse_csv(
    text: str,
    path: str | Path,
    headers: Iterable[Sequence[str]],
    cure: str = CURE,
    delimiter: str = ",",
) -> list[Row]:
    """The rows of a table. headers: the sequences of columns that it may have.

    Raises UserError for other columns, a row of another length, an end without the end of a line,
    and quotes that do not close.
    """
    headers = [list(header) for header in headers]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        if header not in headers:
            raise ValueError(
                f"it has the columns '{delimiter.join(header)}' and not "
                f"'{delimiter.join(headers[0])}'"
            )
        rows = []
        for cells in reader:
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells, where there are {len(header)} columns")
            rows.append(Row(reader.line_num, dict(zip(header, cells, strict=True))))
        if not text.endswith("\n"):
            raise ValueError("it is cut: its last line has no end")
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}, line {max(reader.line_num, 1)}: {error}: {cure}") from error
    return rows


@contextlib.contextmanager
def in_row(path: str | Path, line: int, cure: str = CURE) -> Iterator[None]:
    """Within the block a row's cells are read: a ValueError becomes a UserError with the line."""
    try:
        yield
    except (ValueError, KeyError) as error:
        raise UserError(f"{path}, line {line}: {error}: {cure}") from error


# ---------------------------------------------------------------- archives


def check_sums(archive: str | Path | BinaryIO) -> None:
    """ValueError if a file of a zip archive does not match its CRC-32; of other files nothing.

    PyTorch reads its own archives without comparing them.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            if (damaged := opened.testzip()) is not None:
                raise ValueError(f"{damaged} in it does not match its CRC-32")
    if not isinstance(archive, str | Path):
        archive.seek(0)


# ---------------------------------------------------------------- values


def as_number(value: Any) -> float:
    """`value`, a finite number of JSON or its text; ValueError if it is none."""
    # Python reads `1_0` and `nan` as numbers too.
    if isinstance(value, bool) or not isinstance(value, int | float | str) or "_" in str(value):
        raise ValueError(f"{value!r:.60} is no number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is no finite number")
    return number


def as_whole(value: Any, least: int = 0) -> int:
    """`value`, a whole number of at least `least`, or its text; ValueError if it is none."""
    if isinstance(value, str) and str(value) == value.strip() and value.isascii():
        digits = value.removeprefix("-")
        value = int(value) if digits.isdigit() and len(digits) < 20 else value
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{value!r:.60} is no whole number from {least} on")
    return value


def as_text(value: Any) -> str:
    """`value`, a text that is not empty; ValueError if it is none."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r:.60} is no text")
    return value
