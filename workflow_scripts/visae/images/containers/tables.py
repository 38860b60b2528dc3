"""Rows of Arrow and Parquet files.

Arrow files are mapped into memory, so that a row costs what it holds. Parquet is decoded by row
groups (100 pictures, as `datasets` writes them); the last ones are kept for the rows beside.
"""

import bisect
import functools
import itertools
import os
import threading
from collections import OrderedDict

from visae.base.reading import guarded
from visae.images.containers import beside, column_of

KEPT = 2**28
"""Bytes of decoded row groups that a process keeps, beside the last one."""

_OPEN = 256  # files at once: a process may have 1,024


def size(inside):
    """Bytes of the encoded image, without copying it."""
    value = _value(inside)
    return value.as_buffer().size if value.is_valid else len(content(inside))


def content(inside):
    """The encoded image. OSError: the file or row is missing, or the row holds no image."""
    value = _value(inside)
    if value.is_valid:
        return value.as_py()
    cell = _cell(inside).as_py()
    path = cell.get("path") if isinstance(cell, dict) else None
    if not path:
        raise OSError(f"row {inside.number} of {inside.file} holds no image")
    return beside(inside.file, path).read_bytes()


def schema_of(file):
    """The schema of an Arrow or Parquet file. UserError: missing, truncated or none."""
    file = str(file)
    return _mapped(file).schema if file.endswith(".arrow") else _parquet(file).schema_arrow


def rows_of_file(file):
    """How many rows there are. UserError: missing, truncated or none."""
    file = str(file)
    return _mapped(file).num_rows if file.endswith(".arrow") else _parquet(file).metadata.num_rows


def column_of_file(file, column):
    """All values of a column. UserError: the file is missing, truncated or none."""
    file = str(file)
    with _whole(file):
        values = _mapped(file) if file.endswith(".arrow") else _parquet(file).read([column])
        return _checked(values)[column]


def holds_images(kind):
    """Whether a column of this Arrow type may hold encoded images: bytes, alone or with a path."""
    import pyarrow.types as types

    if types.is_struct(kind):
        return "bytes" in kind.names and holds_images(kind.field("bytes").type)
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def rows_without_image(file, column):
    """(row, path or None) of rows that hold no image, and name no file that is there."""
    if _nulls(str(file), column) == 0:
        return []
    values = column_of_file(file, column)
    if not _is_struct(values.type):
        held, paths = values.is_valid(), None
    else:
        held = _field(values, "bytes").is_valid()
        paths = _field(values, "path") if "path" in values.type.names else None
    missing = []
    for row, is_held in enumerate(held.to_pylist()):
        if not is_held:
            path = paths[row].as_py() if paths is not None else None
            if not path or not beside(file, path).is_file():
                missing.append((row, path))
    return missing


def _nulls(file, column):
    """How many rows of a column hold no bytes, None where that is not known without reading."""
    if file.endswith(".arrow"):
        values = _mapped(file)[column]
        return (_field(values, "bytes") if _is_struct(values.type) else values).null_count
    metadata = _parquet(file).metadata
    leaves = (column, f"{column}.bytes")
    counts = [
        part.statistics.null_count
        if part.statistics is not None and part.statistics.has_null_count
        else None
        for group in map(metadata.row_group, range(metadata.num_row_groups))
        for part in map(group.column, range(group.num_columns))
        if part.path_in_schema in leaves
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _field(values, name):
    """A field of structs, null where the struct is."""
    return values.flatten()[values.type.names.index(name)]


def _value(inside):
    """The image's bytes as a scalar, null where the row has none."""
    cell = _cell(inside)
    return cell["bytes"] if _is_struct(cell.type) and cell.is_valid else cell


def _is_struct(kind):
    return kind.num_fields > 0


def _cell(inside):
    column, _ = column_of(inside.part)
    if inside.kind == "arrow":
        values, row = _mapped(inside.file)[column], inside.number
    else:
        first, values = _group(inside.file, column, inside.number)
        row = inside.number - first
    if row >= len(values):
        raise OSError(f"{inside.file} has fewer than {inside.number + 1} rows")
    return values[row]


def _mapped(file):
    """The table in an Arrow file: rows are read when they are used."""
    return _map(file, _stamp(file))


def _parquet(file):
    return _footer(file, _stamp(file))


def _stamp(file):
    """What differs when a file was written again, so that no old one is read on."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@functools.lru_cache(_OPEN)
def _map(file, stamp):
    import pyarrow  # slow to import, and only these data sets need it

    with _whole(file):
        source = pyarrow.memory_map(file)
        if source.read(6) == b"ARROW1":  # the format with an index at its end
            return _checked(pyarrow.ipc.open_file(source).read_all())
        source.seek(0)
        return _checked(pyarrow.ipc.open_stream(source).read_all())


@functools.lru_cache(_OPEN)
def _footer(file, stamp):
    import pyarrow.parquet

    with _whole(file):
        # Pages have checksums where their writer wrote some.
        return pyarrow.parquet.ParquetFile(file, page_checksum_verification=True)


def _whole(file):
    """The guard around what reads a file."""
    kind = "Arrow" if file.endswith(".arrow") else "Parquet"
    return guarded(
        file,
        f"a whole {kind} file",
        "get the file again, by `git lfs pull` if it is a pointer, or save the data set again, as "
        "by `save_to_disk`.",
    )


def _checked(table):
    """The table; ArrowInvalid where places and lengths in it lead out of its memory.

    Arrow trusts what a file states of them, and reads what lies there.
    """
    table.validate(full=True)
    return table


# ---------------------------------------------------------------- row groups

_kept = OrderedDict()  # (ParquetFile, column, group) → its values; the last used at the end
_reading = threading.Lock()


@functools.lru_cache(_OPEN)
def _edges(parquet):
    """The first row of each row group, and at last the number of rows."""
    metadata = parquet.metadata
    rows = (metadata.row_group(g).num_rows for g in range(metadata.num_row_groups))
    return [0, *itertools.accumulate(rows)]


def _group(file, column, row):
    """(first row, values of `column`) of the row group that holds `row`."""
    parquet = _parquet(file)
    edges = _edges(parquet)
    if row >= edges[-1]:
        raise OSError(f"{file} has {edges[-1]} rows only")
    number = bisect.bisect_right(edges, row) - 1
    key = (parquet, column, number)
    with _reading:
        if key not in _kept:
            with _whole(file):
                read = parquet.read_row_group(number, [column], use_threads=False)
                _kept[key] = _checked(read)[column]
            while len(_kept) > 1 and sum(values.nbytes for values in _kept.values()) > KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return edges[number], _kept[key]
