"""The models that a loader's library names, as a list: asked at planning time, without the library.

`models.txt` beside a loader's entry lists those of one version. Its first line gives package,
version, what stands between architecture and tag, and `bare` where the tag may be left out, or
`types` where a name with a tag is one on the hub, of which nothing is known here. Each other line
is an architecture, what was measured of it (see `Listed`) and its tags. What was measured is `-`
for what is no plain vision transformer, and `?` where unknown.
"""

import difflib
import json
import re
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

    def same(self, model):
        """The usable names that `model` is, but for case and separators; at most three."""
        plain = _plain(model)
        for row in self.usable():
            if _plain(row.architecture) == plain:
                if self.kind != "tagged":
                    return [row.architecture]
                return sorted(self._tagged(row), key=len)[:3]
            if plain.startswith(_plain(row.architecture)):
                found = [name for name in self._tagged(row) if _plain(name) == plain]
                if found:
                    return found
        return []

    def alike(self, model):
        """(from 0 to 1, how much the best is like `model`; the usable names most alike it).

        Where the architecture is one of the library's, it is the tag that has to be another.
        """
        rows, names = self.usable(), {}
        architecture = _plain(model.partition(self.between)[0])
        same = [row for row in rows if _plain(row.architecture) == architecture and row.tags]
        for row in same or rows:
            bare = [] if same or self.kind == "tagged" else [row.architecture]
            for name in [*self._tagged(row), *bare]:
                names.setdefault(_plain(name), name)
        if same:
            close = difflib.get_close_matches(_plain(model), names, cutoff=0)
            return 1.0, [names[each] for each in close]
        close = difflib.get_close_matches(_plain(model), names)
        if not close:
            return 0.0, []
        likeness = difflib.SequenceMatcher(None, _plain(model), close[0]).ratio()
        return likeness, [names[each] for each in close]

    def usable(self):
        """The rows of models that can be used, so far as it is known; of types those alone."""
        unknown = ("-", "?") if self.kind == "types" else ("-",)
        return [row for row in self.rows() if row.said not in unknown]

    def _tagged(self, row):
        return [f"{row.architecture}{self.between}{tag}" for tag in row.tags]


HUB_ID = re.compile(r"(?:hf[-_]hub:)?([\w.-]+/[\w.-]+)")
"""An owner and a name."""


def _plain(name):
    """A model's name in small letters, with one kind of separator, without where it lies."""
    name = re.sub(r"^(hf[-_]hub:)?(timm[/.])?", "", name.strip().lower())
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")


def _path(loader):
    return Path(loaders.__file__).parent / loader / "models.txt"


def catalogues():
    """The `Catalogue` of every loader that has one, in alphabetical order."""
    return [
        Catalogue(path.parent.name) for path in sorted(_path("*").parents[1].glob("*/models.txt"))
    ]


def names(loader):
    """The models in a loader's list that can be used, as its config entry names them."""
    return [row.architecture for row in Catalogue(loader).usable()]


def check_model(name, entry, layer, where=None):
    """Refuse a backbone's config entry whose model, or whose block `layer`, does not exist.

    where: the config's key that asks for the block, if it is not the entry's.

    A model that the list lacks may exist in another version of the library than the list's: it is
    then left to the loader, as all models of loaders without a list are.

    Raises:
        UserError: naming models that are alike, or the blocks that there are.
    """
    if not _path(entry["loader"]).is_file():
        return
    catalogue = Catalogue(entry["loader"])
    if catalogue.kind == "types" and (catalogue.between in entry["model"] or _described(entry)):
        patch, blocks = _of_folder(entry)
    else:
        row, tag = catalogue.row(entry["model"])
        if row is None or tag not in (row.tags if catalogue.kind == "tagged" else [*row.tags, ""]):
            if _installed(catalogue.package) in (catalogue.version, None):
                raise UserError(
                    f"config: backbones.{name}.model is '{entry['model']}', which "
                    f"{catalogue.package} does not have; "
                    + instead(entry["model"], entry["loader"])
                )
            return
        if row.said == "-":
            raise UserError(
                f"config: backbones.{name}.model is '{entry['model']}', which is no plain vision "
                "transformer with one token per patch in every block; choose another"
            )
        listed = Listed.read(row.said)
        patch, blocks = (listed.patch, listed.blocks) if listed else (None, None)
    _check_rest(name, entry, _patch(entry, patch))
    blocks = _blocks(entry, blocks)
    if blocks is not None and layer >= blocks:
        keys = ".".join(("options", *LOADERS[entry["loader"]].blocks))
        of_options = f" by its {keys}" if entry["options"] else ""
        raise UserError(
            f"config: {where or f'backbones.{name}.layer'} is {layer}, but '{entry['model']}' has "
            f"{blocks} blocks{of_options}, numbered 0 to {blocks - 1}; take one of these"
        )


def _check_rest(name, entry, patch):
    """Refuse an image size that is no multiple of the patch, where that is known."""
    size = entry.get("image_size")
    if patch is None or size is None:
        return
    if any(side % patch for side in pair(size)):
        raise UserError(
            f"config: backbones.{name}.image_size is {size}, which leaves a rest when it is cut "
            f"into the patches of {patch} pixels of '{entry['model']}'; choose a multiple of "
            f"{patch}"
        )


OTHER_MODEL = {"timm_model_name", "architecture", "model_args"}
"""Options that name another architecture, of whose patches nothing is known."""


def _patch(entry, own):
    """Pixels of a patch's side by the options, or the model's `own`; None where neither says it."""
    said, within = _option(entry, LOADERS[entry["loader"]].patch)
    if isinstance(said, int) and said > 0:
        return said
    return None if said is not None or OTHER_MODEL & within.keys() else own


def instead(model, loader):
    """What to write for a model that the library of `loader` lacks: the end of a sentence.

    Names are compared without case, separators and what says where they lie, so that `ViT-B/16` is
    open_clip's ViT-B-16. The loader's own names come first, then those of others and of the hub,
    then the ones that are most alike.
    """
    lists = sorted(catalogues(), key=lambda each: each.loader != loader)
    for catalogue in lists:
        if same := catalogue.same(model):
            return _suggested(catalogue, same, model, loader)
    hub = HUB_ID.fullmatch(model)
    found = next((each for each in lists if each.kind == "types" and each.loader != loader), None)
    if hub and found:
        changed = f" and `model: {hub[1]}`" if hub[1] != model else ""
        return f"it is written like one on the hub: set `loader: {found.loader}`{changed}"
    alike = {each.loader: each.alike(model) for each in lists}
    best = max(lists, key=lambda each: alike[each.loader][0])
    likeness, close = alike[best.loader]
    if not likeness:
        return "docs/models.csv lists those that can be used"
    return _suggested(best, close, model, loader)


def _suggested(catalogue, names, model, loader):
    choice, change = " or ".join(names), f"set `loader: {catalogue.loader}`"
    if catalogue.loader == loader:
        return f"did you mean {choice}?"
    if not catalogue.same(model):
        return f"did you mean {choice} of {catalogue.loader}? Then {change} too"
    changed = "" if names == [model] else f" and `model: {choice}`"
    return f"{catalogue.loader} has it: {change}{changed}"


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
        known = model in catalogue.names()
        alike = catalogue.same(model) or catalogue.alike(model)[1]
        found[catalogue.loader] = [model] if known else alike
    return found


def _described(entry):
    """Whether the weights are a folder that says itself of what model they are."""
    return (Path(entry.get("weights", "")) / "config.json").is_file()


def _of_folder(entry):
    """(pixels of a patch's side, blocks) as the config.json of a local folder says, or None."""
    path = Path(entry.get("weights", "")) / "config.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        said, of = said.get("vision_config") or said, LOADERS[entry["loader"]]
        found = [said.get(keys[-1]) for keys in (of.patch, of.blocks)]
    except (OSError, ValueError, AttributeError):  # a file that the loader will name
        return None, None
    return tuple(each if isinstance(each, int) and each > 0 else None for each in found)


def _blocks(entry, own):
    """The number of blocks by the options, or the model's `own`; None where it is not sure."""
    said, _ = _option(entry, LOADERS[entry["loader"]].blocks)
    if isinstance(said, int) and said > 0:
        return said
    return None if entry["options"] else own


def _option(entry, keys):
    """(what stands at `keys` in the options, or None; the dictionary that it stands in)."""
    within = entry["options"]
    for key in keys[:-1]:
        within = within.get(key)
        within = within if isinstance(within, dict) else {}
    return (within.get(keys[-1]) if keys else None), within


def _installed(package):
    """The installed version of a package; None where planning is done without it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
