"""Numbers, gaps and names as the page shows them."""

from typing import NamedTuple

from visae.tables.layout import UNKNOWN

NO_REASON = "the table's file has no value here"


class Cell(NamedTuple):
    """One cell of a table: what is read, what is sorted by, and why there is nothing."""

    text: str
    sort: float | None = None
    """The exact number, None for words and gaps."""
    reason: str | None = None
    """Why there is no value; None where there is one."""


def gap(reason=None):
    """The cell of a missing value."""
    return Cell(UNKNOWN, None, reason or NO_REASON)


def number(value, digits=4):
    """`value` with `digits` significant digits and a true minus sign; integers in full."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.{digits}g}".replace("-", "−")
    return f"{int(value):,}".replace(",", "\u202f").replace("-", "−")


def parsed(text):
    """The number that `text` is, or None."""
    try:
        return float(text.replace("−", "-"))
    except ValueError:
        return None


def in_order(name, kind):
    """Sort key of figures or tables: the paper's first, by number, then the others by name."""
    return (not name.startswith(f"{kind}_"), name)


def title_of(name):
    """`figure_1a` → "Figure 1a", `training_curves` → "Training curves", `sae` → "SAE".

    That something is a table or a figure, its place on the page says.
    """
    name = name.removesuffix("_figure").removesuffix("_table")
    words = name.replace("_", " ").replace("sae", "SAE")
    return words[:1].upper() + words[1:]
