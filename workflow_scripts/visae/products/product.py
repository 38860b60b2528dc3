"""What an entry says of its product, so that a rule can make it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from visae.base.paths import FIGURE_VIEWS, TABLE_VIEWS
from visae.base.shelf import ASIDE


@dataclass(frozen=True)
class Kind:
    """Tables, or figures. writer: the module whose `write(made, {view: path})` writes one."""

    name: str
    views: tuple
    shown: str
    """The view that Snakemake's own report shows."""
    writer: str


KINDS = {
    "table": Kind("table", TABLE_VIEWS, "csv", "visae.tables.layout"),
    "figure": Kind("figure", FIGURE_VIEWS, "png", "visae.figures.style"),
}


@dataclass(frozen=True, kw_only=True)
class Product:
    """A table or a figure; the functions take the `Study`, `reads` also its `Paths`.

    What they return is in the inputs and params of the product's rule.

    Names of inputs and settings are those under which `make` finds them.
    """

    kind: str
    """Of `KINDS`."""
    shows: str = field(metadata=ASIDE)
    """A clause, in lower case."""
    reads: Callable = field(metadata=ASIDE, default=lambda study, paths: {})
    """{name: a path or several}"""
    settings: Callable = field(metadata=ASIDE, default=lambda study: {})
    """{name: value}: all that it depends on besides its inputs, and nothing else."""
    needs: tuple[Callable, ...] = field(metadata=ASIDE, default=())
    """What a study may lack for it: functions that say why it is not made (a clause), or None."""
    over: Callable = field(metadata=ASIDE, default=lambda study: "")
    """The sentence that says how many it is about, for figures."""
    category: str | None = field(metadata=ASIDE, default=None)
    """Its chapter in Snakemake's own report, where it is not that of its kind."""

    def missing(self, study):
        """Why it is not made for a study; None if it is."""
        return next((reason for need in self.needs if (reason := need(study))), None)

    def files(self, name, paths):
        """{view: path} of the product called `name`."""
        of_view = paths.table if self.kind == "table" else paths.figure
        return {view: of_view(name, view) for view in KINDS[self.kind].views}
