"""All shelves whose entries a config names: its schema has their names from here."""

from visae.backbones.loaders import LOADERS
from visae.images.layouts import LAYOUTS
from visae.pretraining.paradigms import PARADIGMS
from visae.sae.families import FAMILIES

SHELVES = {"layouts": LAYOUTS, "loaders": LOADERS, "families": FAMILIES, "paradigms": PARADIGMS}
"""Name in the schema, where `shelf` stands for an enumeration → Shelf."""
