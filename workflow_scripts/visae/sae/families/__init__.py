"""Families of SAEs: a shelf of folders {entry.py, trainer.py}.

`entry.py` has an `ENTRY`, a `Family`; `trainer.py` has the class that trains an SAE of it as
`TRAINER` (a `visae.sae.trainer.Trainer`), imported in the job that trains.
"""

from dataclasses import dataclass, field

from visae.base.shelf import ASIDE, Shelf

L0_TOLERANCE = 2
"""A steered SAE has converged when its L0 is this close to the target (Appendix Q)."""

FAMILIES = Shelf("visae.sae.families", "family of SAEs")


@dataclass(frozen=True)
class Sparsity:
    """What a family's sparsity is.

    key: in a sweep's grid. in_name: before its value in an SAE's name. label: of its values in
    Table 1. counted: whether it is a number of active features per token, K or a target.
    """

    key: str
    in_name: str
    label: str = field(metadata=ASIDE)
    counted: bool = True


K = Sparsity("k", "k", "K values")
TARGET_L0 = Sparsity("target_l0", "l0_", "target L0 values")
L1 = Sparsity("l1", "l1_", "L1 coefficients", counted=False)


@dataclass(frozen=True)
class Threshold:
    """From which value on a code is active when an SAE is evaluated.

    sentence: in Table 1, of the number of `images` and the `split` that `training` in the config
    names. measured: one number, a quantile of the codes of these images. per_feature: one each,
    which the checkpoint holds.
    """

    sentence: str = field(metadata=ASIDE)
    measured: bool = False
    per_feature: bool = False


MEASURED = Threshold("quantile of the codes of {images} images of {split}", measured=True)
LEARNED = Threshold("learned, one per feature", per_feature=True)
NONE = Threshold("none")


@dataclass(frozen=True)
class Family:
    """What there is to say of a family.

    label: its name in tables. description: which codes are active, and how that is trained, in one
    sentence. source: where it was published, and where this study's paper says so. recipes: names
    of its ways of training that a sweep's `recipe` can ask for, the usual one first. steered:
    whether training steers L0 to its target, which it may miss (Appendix Q). settings: which of
    `visae.sae.specs.SOME_HAVE` a sweep can set for it.
    """

    label: str = field(metadata=ASIDE)
    description: str = field(metadata=ASIDE)
    source: str = field(metadata=ASIDE)
    sparsity: Sparsity
    threshold: Threshold
    recipes: tuple[str, ...] = ()
    steered: bool = False
    settings: tuple[str, ...] = ()
