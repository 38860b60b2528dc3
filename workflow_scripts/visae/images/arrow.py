"""Images inside Arrow files, as the Hugging Face `datasets` library saves them.

Such an image has the path `{file}.arrow#{row}#{column}`.
"""

import functools
from pathlib import Path

from visae.base.reading import guarded

_MARK = ".arrow#"


def is_arrow_row(path):
    """Whether `path` names a row of an Arrow file."""
    return _MARK in Path(path).name


def row_path(file, row, column):
    """The path of the image in `column` of a row of an Arrow file."""
    return f"{file}#{row}#{column}"


def file_of(path):
    """The Arrow file that holds the row `path`."""
    return str(path).rsplit("#", 2)[0]


def size_of(path):
    """Bytes of the encoded image that `path` names."""
    return len(image_bytes(path))


def image_bytes(path):
    """The encoded image that `path` (see `row_path`) names.

    Raises:
        OSError: the file or row is missing, or the row holds no image.
    """
    file, row, column = str(path).rsplit("#", 2)
    table = read_table(file)
    if int(row) >= table.num_rows:
        raise OSError(f"{file} has {table.num_rows} rows only")
    content = table[column][int(row)].as_py()
    if content is None or content["bytes"] is None:
        raise OSError(f"row {row} of {file} holds no image")
    return content["bytes"]


@functools.cache
def read_table(file):
    """The table in the Arrow stream `file`, memory-mapped: rows are read when they are used.

    Raises:
        UserError: the file is missing, truncated or none.
    """
    import pyarrow  # slow to import, and only these data sets need it

    with guarded(file, "a whole Arrow stream", "save the data set again by `save_to_disk`."):
        table = pyarrow.ipc.open_stream(pyarrow.memory_map(str(file))).read_all()
        # Arrow trusts the places and lengths that a file states, and reads what lies there.
        table.validate(full=True)
        return table
