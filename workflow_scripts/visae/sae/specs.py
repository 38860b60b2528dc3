"""Which SAE, and how it is trained: names and settings, free of torch for the Snakefile's sake."""

import re
from dataclasses import dataclass, fields

from visae.base.errors import UserError

# Family → what its sparsity is called in a sweep's grid.
SPARSITY_KEYS = {"batchtopk": "k", "topk": "k", "jumprelu": "target_l0", "relu": "l1"}

# The same → as it stands in the SAE's name.
_LABELS = {"k": "k", "target_l0": "l0_", "l1": "l1_"}

JUMPRELU_RECIPES = ("paper", "calibrated")
PRECISIONS = ("float32", "float16")


@dataclass(frozen=True)
class SaeSpec:
    """One cell of a sweep: the family, the expansion factor F / D and the sparsity.

    sparsity: active features per token, K (`batchtopk`, `topk`) or the target L0 (`jumprelu`);
    for `relu` the coefficient of the L1 penalty.
    """

    family: str
    expansion_factor: int
    sparsity: float

    def __post_init__(self):
        if self.family not in SPARSITY_KEYS:
            raise UserError(
                f"{self.family!r} is not a family of SAEs: write one of "
                f"{', '.join(SPARSITY_KEYS)} in the sweep"
            )
        if self.expansion_factor < 1:
            raise UserError(f"expansion factor {self.expansion_factor} is below 1: raise it")
        if self.sparsity <= 0 or (self.k is not None and self.sparsity != int(self.sparsity)):
            raise UserError(
                f"sparsity {self.sparsity} of a {self.family} SAE is not a positive "
                f"{'number' if self.k is None else 'whole number'}: correct it in the sweep"
            )

    @property
    def k(self):
        """K or the target L0: how many features per token are meant to be active, or None."""
        return None if SPARSITY_KEYS[self.family] == "l1" else self.sparsity

    @property
    def name(self):
        """The name of the SAE's folder, such as `batchtopk_16x_k128`."""
        label = _LABELS[SPARSITY_KEYS[self.family]]
        return f"{self.family}_{self.expansion_factor}x_{label}{self.sparsity:.12g}"

    @classmethod
    def from_name(cls, name):
        """The spec whose `name` this is; UserError when it is the name of none."""
        labels = "|".join(_LABELS.values())
        match = re.fullmatch(rf"([a-z]+)_(\d+)x_({labels})([-+.e\d]+)", name)
        try:
            family, expansion_factor, label, number = match.groups()
            sparsity = float(number) if label == "l1_" else int(number)
            spec = cls(family, int(expansion_factor), sparsity)
            if spec.name == name:
                return spec
        except (AttributeError, ValueError):
            pass
        raise UserError(
            f"{name!r} is not the name of an SAE: write it like batchtopk_16x_k128, topk_16x_k64, "
            "jumprelu_16x_l0_64 or relu_16x_l1_0.001"
        )


@dataclass(frozen=True)
class TrainingSettings:
    """How the SAEs of a sweep are trained; the defaults are the paper's (Appendix A).

    batch_size: patch tokens per step.
    learning_rate: Adam's, constant, without weight decay.
    epochs: passes over the training cache.
    seed: of the initial weights and of the order of tokens; the same for every SAE.
    gradient_clip: largest L2 norm of the gradient of all weights of an SAE.
    precision: of the matrix products on CUDA, `float16` (summed in float32) or `float32`; the
        CPU always computes in float32, and codes are selected in float32 everywhere.
    log_interval: steps per line of `training.jsonl`.
    checkpoint_minutes: time between two resumable checkpoints; with 0, every step writes one.
    window_images: images whose tokens are held in memory and shuffled together.
    threshold_images: held-out images on which inference thresholds and L0 are measured.
    jumprelu_recipe: `calibrated`, or the `paper`'s, which does not always reach its target L0.
    """

    batch_size: int = 8192
    learning_rate: float = 1e-3
    epochs: int = 1
    seed: int = 42
    gradient_clip: float = 1.0
    precision: str = "float16"
    log_interval: int = 100
    checkpoint_minutes: float = 10
    window_images: int = 1024
    threshold_images: int = 1024
    jumprelu_recipe: str = "calibrated"

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) or field.name == "seed":
                continue
            if not value >= 0 or (value == 0 and field.name != "checkpoint_minutes"):
                raise UserError(f"training setting {field.name} is {value}: it must be positive")
        for name, allowed in (("precision", PRECISIONS), ("jumprelu_recipe", JUMPRELU_RECIPES)):
            if getattr(self, name) not in allowed:
                raise UserError(
                    f"training setting {name} is {getattr(self, name)!r}: "
                    f"write {' or '.join(allowed)}"
                )
