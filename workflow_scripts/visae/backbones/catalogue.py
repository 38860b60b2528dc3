"""The models that a loader's library names, as a list: asked at planning time, without the library.

`models.txt` beside a loader's entry lists those of one version. Its first line gives package,
version, what stands between architecture and tag, and `bare` where the tag may be left out, or
`types` where a name with a tag is one on the hub, of which nothing is known here. Each other line
is an architecture, what was measured of it (see `Listed`) and its tags. What was measured is `-`
for what is no plain vision transformer, and `?` where unknown.
"""

import difflib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from visae.backbones import loaders
from visae.backbones.loaders import LOADERS
from visae.backbones.sizes import pair
from visae.base.errors import UserError


@dataclass(frozen=True)
class Listed:
    """What a list says of a model at its own image size.

    blocks: their number. width: D. grid: (H, W) patches. patch: pixels of a patch's side.
    prefix: tokens before the patches, `registers` among them. stem, block: FLOPs of one image
    before the blocks, and in each of them; 0 where they differ from block to block.
    """

    blocks: int
    width: int
    grid: tuple[int, int]
    patch: int
    prefix: int
    registers: int
    stem: int
    block: int

    @classmethod
    def read(cls, text):
        """As a list says it; None for what is no plain vision transformer, or unknown."""
        if text in ("-", "?"):
            return None
        blocks, width, grid, *others = text.split(",")
        rows, columns = (int(n) for n in grid.split("x"))
        return cls(int(blocks), int(width), (rows, columns), *map(int, others))

    def written(self):
        grid = f"{self.grid[0]}x{self.grid[1]}"
        values = (self.blocks, self.width, grid, self.patch, self.prefix, self.registers)
        return ",".join(map(str, (*values, self.stem, self.block)))

    @property
    def size(self):
        """(height, width) in pixels."""
        return self.grid[0] * self.patch, self.grid[1] * self.patch


class Row(NamedTuple):
    """A line of a list. said: what was measured, as it stands there."""

    architecture: str
    said: str
    tags: list


class Catalogue:
    """The list of one loader's models. Attributes: `package`, `version`, `between`, `kind`."""

    def __init__(self, loader):
        self.loader, path = loader, _path(loader)
        self.text = path.read_text(encoding="utf-8")
        head = self.text[: self.text.index("\n")]
        self.package, self.version, self.between, self.kind = head.split(" ")

    def row(self, model):
        """(the `Row` of a model's architecture or None, the model's tag)."""
        architecture, _, tag = model.partition(self.between)
        start = self.text.find(f"\n{architecture} ") + 1
        if not start:
            return None, tag
        name, said, *tags = self.text[start : self.text.index("\n", start)].split(" ")
        return Row(name, said, tags), tag

    def rows(self):
        """All rows, in order."""
        for line in self.text.splitlines()[1:]:
            name, said, *tags = line.split(" ")
            yield Row(name, said, tags)

    def names(self):
        """All models, tagged ones first."""
        rows = list(self.rows())
        tagged = [f"{row.architecture}{self.between}{tag}" for row in rows for tag in row.tags]
        return tagged + ([row.architecture for row in rows] if self.kind != "tagged" else [])


def _path(loader):
    return Path(loaders.__file__).parent / loader / "models.txt"


def catalogues():
    """The `Catalogue` of every loader that has one, in alphabetical order."""
    return [
        Catalogue(path.parent.name) for path in sorted(_path("*").parents[1].glob("*/models.txt"))
    ]


def names(loader):
    """The models in a loader's list that can be used, as its config entry names them."""
    catalogue = Catalogue(loader)
    return [row.architecture for row in catalogue.rows() if row.said != "-"]


def check_model(name, entry, layer):
    """Refuse a backbone's config entry whose model, or whose block `layer`, does not exist.

    A model that the list lacks may exist in another version of the library than the list's: it is
    then left to the loader, as all models of loaders without a list are.

    Raises:
        UserError: naming models that are alike, or the blocks that there are.
    """
    if not _path(entry["loader"]).is_file():
        return
    catalogue = Catalogue(entry["loader"])
    if catalogue.kind == "types" and (catalogue.between in entry["model"] or _described(entry)):
        return
    row, tag = catalogue.row(entry["model"])
    if row is None or tag not in (row.tags if catalogue.kind == "tagged" else [*row.tags, ""]):
        if _installed(catalogue.package) in (catalogue.version, None):
            raise UserError(
                f"config: backbones.{name}.model is '{entry['model']}', which {catalogue.package} "
                f"does not have; {_instead(catalogue, row, entry['model'])}"
            )
        return
    if row.said == "-":
        raise UserError(
            f"config: backbones.{name}.model is '{entry['model']}', which is no plain vision "
            "transformer with one token per patch in every block; choose another"
        )
    listed = Listed.read(row.said)
    _check_rest(name, entry, listed)
    blocks = _blocks(entry, listed)
    if blocks is not None and layer >= blocks:
        keys = ".".join(("options", *LOADERS[entry["loader"]].blocks))
        of_options = f" by its {keys}" if entry["options"] else ""
        raise UserError(
            f"config: block {layer} of backbones.{name} is asked for, but '{entry['model']}' has "
            f"{blocks} blocks{of_options}, numbered 0 to {blocks - 1}; correct `layer`"
        )


def _check_rest(name, entry, listed):
    """Refuse an image size that is no multiple of the listed patch."""
    size = entry.get("image_size")
    if listed is None or entry["options"] or size is None:
        return
    if any(side % listed.patch for side in pair(size)):
        raise UserError(
            f"config: backbones.{name}.image_size is {size}, which leaves a rest when it is cut "
            f"into the patches of {listed.patch} pixels of '{entry['model']}'; choose a multiple "
            f"of {listed.patch}"
        )


def _instead(catalogue, row, model):
    """What to say of a model that a catalogue lacks; `row`: of its architecture, or None."""
    if said := elsewhere(model, catalogue.loader):
        return said
    known = catalogue.names()
    if row and row.tags:
        known = [f"{row.architecture}{catalogue.between}{tag}" for tag in row.tags]
    close = difflib.get_close_matches(model, known) or known[:3]
    return f"did you mean {' or '.join(close)}?"


def elsewhere(model, loader):
    """What to say of a model that another loader's library has; None where none has it."""
    for catalogue in catalogues():
        if catalogue.loader == loader:
            continue
        row, tag = catalogue.row(model)
        if catalogue.kind == "types" and tag:
            return f"it is written like one on the hub: set `loader: {catalogue.loader}`"
        if row is None or tag not in ["", *row.tags]:
            continue
        if catalogue.kind == "tagged" and not tag:
            tagged = " or ".join(f"{model}{catalogue.between}{each}" for each in row.tags[:3])
            return (
                f"{catalogue.loader} has it: set `loader: {catalogue.loader}` and `model: {tagged}`"
            )
        return f"{catalogue.loader} has it: set `loader: {catalogue.loader}`"
    return None


def as_listed(entry):
    """The `Listed` that holds for a backbone's config entry; None where the lists do not say it.

    They say it of models at their own image size, with the architecture's own options.
    """
    if not _path(entry["loader"]).is_file() or entry["options"] or _described(entry):
        return None
    catalogue = Catalogue(entry["loader"])
    row, _ = catalogue.row(entry["model"])
    listed = Listed.read(row.said) if row else None
    if listed is None or _installed(catalogue.package) not in (catalogue.version, None):
        return None
    own = entry["image_size"] is None or pair(entry["image_size"]) == listed.size
    return listed if own else None


def suggestions(model):
    """{loader: names in its library's list that are `model`, or are like it}."""
    found = {}
    for catalogue in catalogues():
        known = catalogue.names()
        found[catalogue.loader] = (
            [model] if model in known else difflib.get_close_matches(model, known)
        )
    return found


def _described(entry):
    """Whether the weights are a folder that says itself of what model they are."""
    return (Path(entry.get("weights", "")) / "config.json").is_file()


def _blocks(entry, listed):
    """The number of blocks by the options, or by the list; None where neither is sure to say it."""
    said = entry["options"]
    for key in LOADERS[entry["loader"]].blocks:
        said = said.get(key) if isinstance(said, dict) else None
    if isinstance(said, int) and said > 0:
        return said
    return None if entry["options"] or listed is None else listed.blocks


def _installed(package):
    """The installed version of a package; None where planning is done without it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
