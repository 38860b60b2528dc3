"""Libraries whose checkpoints can be read: a shelf with one module each.

Rules only list its files: the modules themselves handle tensors, in the jobs that read SAEs.
"""

from visae.base.shelf import Shelf

LIBRARIES = Shelf("visae.sae.exchange.libraries", "library of SAEs")
