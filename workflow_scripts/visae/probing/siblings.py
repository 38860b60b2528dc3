"""Sibling groups: classes that share a direct parent, for M7.

Paper: section 4.4 and Table 2 ("ImageNet hierarchy sibling groups with minimum group size
= 3"). The hierarchy is the data set's own (`parent` in `index/{dataset}/classes.csv`), or, for
classes named by their WordNet ids, the shipped table of direct hypernyms.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from visae.base.reading import read_csv
from visae.base.repository import RESOURCES
from visae.images.index import read_classes

IMAGENET_HYPERNYMS = RESOURCES / "imagenet_hypernyms.csv"

_HYPERNYM_COLUMNS = ("class_name", "parent", "class_word", "parent_word")

MINIMUM_SIZE = 3


@dataclass(frozen=True)
class SiblingGroup:
    """Classes with one parent. A class with two parents belongs to two groups."""

    parent: str
    labels: tuple[int, ...]
    """Ascending."""


def read_sibling_groups(classes_path: str | Path) -> list[SiblingGroup]:
    """The sibling groups of the data set whose `classes.csv` lies at `classes_path`.

    Without any parent in the table and with class names like n01440764, parents come from
    WordNet 3.0; without either there are no groups. Raises UserError as `read_classes`.
    """
    classes = read_classes(classes_path)
    label_of = {record.class_name: record.label for record in classes}
    parents = [(record.class_name, record.parent) for record in classes if record.parent]
    if not parents and label_of and all(re.fullmatch(r"n\d{8}", name) for name in label_of):
        parents = imagenet_parents()
    return sibling_groups(label_of, parents)


def imagenet_parents() -> list[tuple[str, str]]:
    """(class_name, parent) pairs of the 1000 ImageNet classes; both are WordNet ids."""
    rows = read_csv(IMAGENET_HYPERNYMS, [_HYPERNYM_COLUMNS], "restore it")
    return [(row.cells["class_name"], row.cells["parent"]) for row in rows]


def sibling_groups(
    label_of: Mapping[str, int], parents: Iterable[tuple[str, str]]
) -> list[SiblingGroup]:
    """Groups of at least three classes with one parent, in order of parent.

    label_of: class name -> label. parents: (class name, parent) pairs; names that `label_of`
    lacks are passed over.
    """
    children = defaultdict(set)
    for name, parent in parents:
        if name in label_of:
            children[parent].add(label_of[name])
    return [
        SiblingGroup(parent, tuple(sorted(labels)))
        for parent, labels in sorted(children.items())
        if len(labels) >= MINIMUM_SIZE
    ]
