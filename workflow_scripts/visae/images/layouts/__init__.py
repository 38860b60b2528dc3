"""Layouts: how each data set lies on disk, as its authors ship it. A shelf of modules.

A layout has an `ENTRY`, a `Layout`, and a function `read(root, split)`, which returns the image
records of the split and the class records of the data set. Where the splits' own files say which
classes there are, they may say it differently: `visae.images.classes` brings them together. An
image without a class has the label `UNLABELLED`. `read_images`, where a layout has it, needs none
of what says the classes.
"""

from dataclasses import dataclass, field
from pathlib import Path

from visae.base.errors import UserError
from visae.base.reading import refusing
from visae.base.shelf import ASIDE, Shelf
from visae.images.index import UNLABELLED, build_index, dealt, told_apart

LAYOUTS = Shelf("visae.images.layouts", "layout")

LABELS = ("all", "some", "none")
"""Which images of a split have a class: all of them; some, and the others are left out; none, or
none that is read."""


@dataclass(frozen=True)
class Layout:
    """What there is to say of a layout.

    label: the data set's name. description: what lies where, in one sentence. source: where the
    data set is to be had. splits: their names; None where each data set has its own. masks:
    whether an image's truth is a mask. labels: whether it is a class. images: split → number of
    images, and classes: their number, as the authors state them (the plan reckons with them until
    the data set is indexed). lists: patterns below the root of files that say which images and
    classes there are. options: name → meaning of what the config may say of a data set beside its
    root; `read` takes them as keywords. counted: whether the plan may count the images itself,
    without opening large files. whole: whether its splits may be shares of one folder, which `read`
    is asked for as the split "". paper: the name of the data set in the paper's hypotheses (section
    4.5), if any.
    """

    label: str = field(metadata=ASIDE)
    description: str = field(metadata=ASIDE)
    source: str = field(metadata=ASIDE)
    splits: tuple[str, ...] | None
    masks: bool = False
    labels: bool = True
    images: dict[str, int] = field(metadata=ASIDE, default_factory=dict)
    classes: int = field(metadata=ASIDE, default=0)
    lists: tuple[str, ...] = field(metadata=ASIDE, default=())
    options: dict[str, str] = field(metadata=ASIDE, default_factory=dict)
    counted: bool = field(metadata=ASIDE, default=True)
    whole: bool = field(metadata=ASIDE, default=False)
    paper: str | None = field(metadata=ASIDE, default=None)


def labels_of(entry, split):
    """Of `LABELS` by the config: of the split, else of the data set, else of its layout.

    entry: the data set's section, with defaults.
    """
    said = entry["splits"][split]["labels"] or entry["labels"]
    return said or ("all" if LAYOUTS[entry["layout"]].labels else "none")


def check_options(layout, options, where="its options"):
    """Refuse options that the layout does not have; `where` is the config's key, for messages."""
    known = LAYOUTS[layout].options
    unknown = sorted(set(options) - set(known))
    if unknown:
        has = f"its options are {', '.join(known)}" if known else "it has none"
        raise UserError(
            f"{where} has '{unknown[0]}', which is no option of the layout '{layout}': {has}."
        )


def shares_of(entry):
    """{split: its share of the one folder of a data set}; None where each split has its own."""
    shares = {name: split["share"] for name, split in entry["splits"].items() if "share" in split}
    return shares or None


def index_images(layout, root, split, options=None, labels="all", shares=None):
    """Index one split of the data set below `root`, which lies there in the named `layout`.

    options: what the layout leaves open, by `Layout.options`. labels: of `LABELS`. shares: split →
    its share of the images, where all splits are parts of one folder.

    Returns:
        visae.images.index.ImageIndex

    Raises:
        UserError: unknown layout or split, a missing or half-unpacked folder, an empty class
            folder, lists that contradict the images on disk or each other, overlapping splits,
            images without a class.
    """
    entry = LAYOUTS[layout]
    if entry.splits is not None and split not in entry.splits:
        raise UserError(
            f"The layout '{layout}' has no split '{split}': choose one of "
            f"{', '.join(entry.splits)}."
        )
    check_options(layout, options or {})
    root = Path(root)
    if not root.is_dir():
        raise UserError(
            f"The data set's root {root} is no folder: set `root` to where the data set is "
            f"unpacked, or get it from {entry.source}."
        )
    where = f"split '{split}' of {root}"
    module, unread = LAYOUTS.module(layout, "read"), labels == "none" and not entry.masks
    read = getattr(module, "read_images", module.read) if unread else module.read
    cure = f"correct what is said there, or get the data set again from {entry.source}"
    with refusing(root, f"a data set in the layout '{layout}'", cure):
        images, classes = read(root, "" if shares else split, **(options or {}))
    if shares:
        images = dealt(images, shares)[split]
    if unread:
        images = [record._replace(label=UNLABELLED, class_name="") for record in images]
        classes = []
    elif entry.labels:
        images = _labelled(images, labels, where)
    return build_index(told_apart(images), classes, where)


def _labelled(images, labels, where):
    """The images with a class, which are all unless `labels` says otherwise."""
    without = [record.path for record in images if record.label == UNLABELLED]
    if without and labels == "all":
        names = ", ".join(without[:3]) + (" …" if len(without) > 3 else "")
        raise UserError(
            f"{len(without)} of {len(images)} images in {where} have no label ({names}): label "
            "them, leave them out by `labels: some` of the data set, or do without any by "
            "`labels: none`, which computes what needs no label."
        )
    if images and len(without) == len(images):
        raise UserError(
            f"None of the {len(images)} images in {where} has a label: set `labels: none`."
        )
    return [record for record in images if record.label != UNLABELLED]
