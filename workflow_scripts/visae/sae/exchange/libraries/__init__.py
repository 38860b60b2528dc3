"""Libraries whose checkpoints can be read: a shelf of folders {entry.py, read.py}.

`read.py` has `recognises(folder)`, whether config and tensor names are this library's, and
`read(folder, reading)`, the `ForeignSae` (`visae.sae.exchange.form`) of an opened `Folder`.
"""

from dataclasses import dataclass, field

from visae.base.shelf import ASIDE, Shelf

LIBRARIES = Shelf("visae.sae.exchange.libraries", "library of SAEs")


@dataclass(frozen=True)
class Library:
    """Who writes such folders.

    label, versions: for people; the versions whose rule is read. config_classes: dotted names of
    classes whose objects lie in its pickles beside the tensors; they are read as plain attributes.
    """

    label: str = field(metadata=ASIDE)
    versions: str = field(metadata=ASIDE)
    config_classes: tuple[str, ...] = ()
