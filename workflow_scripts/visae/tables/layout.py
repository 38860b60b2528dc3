"""One table structure and its four views: CSV and JSON keep every digit, Markdown and LaTeX round.

JSON is the table as data, headings and notes included: what is drawn or shown from a table reads
it. A value that is not known is None: an empty field in CSV, a dash for people, never 0.
"""

import csv
import io
from dataclasses import asdict, dataclass

from visae.base.files import write_text
from visae.base.reading import as_number
from visae.base.seals import made_of, read_document, write_beside, write_document

FORMAT = "visae-table-1"
UNKNOWN = "–"

# Characters that LaTeX reads as commands or that its default fonts lack.
_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "|": r"\textbar{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "→": r"$\rightarrow$",
    "±": r"$\pm$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "η": r"$\eta$",
    "ρ": r"$\rho$",
    "²": r"$^2$",
    "₀": r"$_0$",
}


@dataclass(frozen=True)
class Column:
    """One column: its key in the rows and in CSV, and how people see it."""

    key: str
    heading: str
    digits: int | None = None
    """Decimals in Markdown and LaTeX; None for words and counts."""


@dataclass(frozen=True)
class Table:
    """Rows are mappings from column key to str, bool, int, float or None.

    Raises ValueError for a row that lacks a column.
    """

    title: str
    columns: tuple[Column, ...]
    rows: list
    notes: tuple[str, ...] = ()
    page: str | None = None
    """The Markdown view, where it is more than the table."""

    def __post_init__(self):
        keys = {column.key for column in self.columns}
        for row in self.rows:
            if lacking := keys - row.keys():
                raise ValueError(f"{self.title}: a row lacks {', '.join(sorted(lacking))}")


def read_sparsity(text):
    """K or the target L0, a whole number; or a ReLU SAE's L1 coefficient."""
    value = as_number(text)
    return int(value) if value.is_integer() else value


def write(table, paths, inputs=()):
    """Write the views of `table` to `paths`, {view: path}; equal tables give equal bytes.

    inputs: the files that it was made of. What is read again has a seal: JSON, or CSV alone.
    """
    for view, path in paths.items():
        if view == "json":
            write_document(path, FORMAT, as_data(table), made_of(path, inputs))
        elif len(paths) == 1:
            write_beside(path, FORMAT, _VIEWS[view](table), made_of(path, inputs))
        else:
            write_text(path, _VIEWS[view](table))


def read(path):
    """The Table in a JSON view: its rows hold what its columns show, and nothing else."""
    found = read_document(path, FORMAT)
    columns = tuple(Column(**column) for column in found["columns"])
    return Table(found["title"], columns, found["rows"], tuple(found["notes"]))


def as_csv(table):
    """One header line of column keys; floats as their shortest exact decimal (`repr`)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.key for column in table.columns])
    for row in table.rows:
        writer.writerow([_exact(row[column.key]) for column in table.columns])
    return text.getvalue()


def as_data(table):
    """Title, columns, rows and notes, as JSON has them."""
    keys = [column.key for column in table.columns]
    return {
        "title": table.title,
        "columns": [asdict(column) for column in table.columns],
        "rows": [{key: row[key] for key in keys} for row in table.rows],
        "notes": list(table.notes),
    }


def as_markdown(table):
    """The table's page; else a title, a pipe table with numbers aligned right, and the notes."""
    if table.page is not None:
        return table.page
    lines = [f"**{table.title}**", ""]
    lines.append(_markdown_row(column.heading for column in table.columns))
    lines.append(_markdown_row("---:" if right else "---" for right in _right_aligned(table)))
    lines += [_markdown_row(cells) for cells in _cells(table)]
    for note in table.notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def as_latex(table):
    """A `table` environment in the style of the booktabs package."""
    alignment = "".join("r" if right else "l" for right in _right_aligned(table))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(' '.join((table.title, *table.notes)))}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _latex_row(column.heading for column in table.columns),
        r"\midrule",
        *[_latex_row(cells) for cells in _cells(table)],
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


_VIEWS = {"csv": as_csv, "md": as_markdown, "tex": as_latex}


def _exact(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(float(value)) if isinstance(value, float) else str(value)


def _cells(table):
    """The rows as people see them, as strings."""
    return [[rounded(row[column.key], column) for column in table.columns] for row in table.rows]


def rounded(value, column):
    """A value as people see it in `column`."""
    if value is None:
        return UNKNOWN
    if column.digits is None:
        return str(value)
    text = f"{value:.{column.digits}f}"
    # Rounding leaves "-0.000" of a small negative number.
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def _right_aligned(table):
    """True for the columns that hold numbers."""
    return [
        any(isinstance(row[column.key], int | float) for row in table.rows)
        for column in table.columns
    ]


def _markdown_row(cells):
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _latex_row(cells):
    return " & ".join(_latex(cell) for cell in cells) + r" \\"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
