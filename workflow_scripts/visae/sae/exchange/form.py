"""What a checkpoint says, in one form for every library, and what a sweep says of it."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from visae.base.errors import UserError
from visae.sae.specs import SaeSpec

INPUTS = ("raw", "training_cache")
THRESHOLD_SCALES = ("linear", "log")

FAMILY = "family"
"""A key of this workflow's own: an export has to call every SAE with one threshold `batchtopk`,
for the published package's sake."""


@dataclass(frozen=True)
class Reading:
    """What a sweep says of the files that it names: its grid, and the section `reading`.

    spec: the SAE that a folder is to hold. library: name of the library that wrote it, where the
    files do not tell. input: what was done to activations before the SAE saw them: `raw`
    (nothing), `training_cache` (this study's normalisation) or the path of a file with
    `activation_mean` [D] and `activation_std` []. threshold: the number, or `measured`.
    threshold_scale: `linear` or `log`. normalize_decoder: the argument of dictionary-learning's
    `from_pretrained`. hook_point, tokens: `block_output` and `patches` where the study is right
    and what a config says of them is not.
    """

    spec: SaeSpec
    library: str | None = None
    input: str | None = None
    threshold: float | str | None = None
    threshold_scale: str | None = None
    normalize_decoder: bool = True
    hook_point: str | None = None
    tokens: str | None = None

    def __post_init__(self):
        allowed = {
            "threshold_scale": THRESHOLD_SCALES,
            "hook_point": ("block_output",),
            "tokens": ("patches",),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in (None, *values):
                raise UserError(
                    f"reading.{name} is {getattr(self, name)!r}: write {' or '.join(values)}"
                )
        if isinstance(self.threshold, str) and self.threshold != "measured":
            raise UserError(f"reading.threshold is {self.threshold!r}: write a number or measured")

    @classmethod
    def of_sweep(cls, spec, section):
        """The Reading of one SAE from the section `reading` of its sweep."""
        unknown = set(section) - {f.name for f in fields(cls)}
        if unknown:
            raise UserError(f"reading has the unknown key {min(unknown)}: take it out")
        return cls(spec, **section)


@dataclass
class Site:
    """Which activations a checkpoint was trained on, as far as its files say.

    layer: number of the block. point: the hook's name without the block. tokens: `patches`,
    `all` (the class token too) or `class`. None: they do not say.
    """

    layer: int | None = None
    point: str | None = None
    tokens: str | None = None


@dataclass
class ForeignSae:
    """An SAE of another library: codes = activation((x' − pre_bias) · encoderᵀ + encoder_bias).

    x' are activations after `input_normalisation` (per token), or after (a − mean) / std.
    Reconstructions are codes · decoder + decoder_bias, and what was done to x is undone.

    encoder, decoder: [F, D]. pre_bias, decoder_bias: [D], or None for zeros. activation, k: see
    `visae.sae.model`. threshold: [] or [F], or None for a plain ReLU. strict: codes have to be
    above it. measured: the files state no threshold, and it is measured with K. family: what the
    files call it. features, width: F and D as the config states them. input: whether the
    library takes raw activations; None where no file says.
    """

    family: str
    encoder: Any
    encoder_bias: Any
    decoder: Any
    pre_bias: Any = None
    decoder_bias: Any = None
    activation: str = "threshold"
    k: int | None = None
    threshold: Any = None
    strict: bool = False
    measured: bool = False
    input_normalisation: str = "none"
    input: str | None = "raw"
    mean: Any = None
    std: Any = None
    features: int | None = None
    width: int | None = None
    site: Site = field(default_factory=Site)
    notes: list = field(default_factory=list)


def whole(value, what, path: Path):
    """`value` as an int; UserError where it is no whole number above 0."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if isinstance(value, bool) or number < 1 or number != float(value):
        raise UserError(f"{path} states {what} {value!r}, which is no whole number above 0")
    return number


def site_of_hook(name, tokens=None):
    """The Site of a TransformerLens hook such as `blocks.11.hook_resid_post`."""
    if not name:
        return Site(tokens=tokens)
    parts = str(name).split(".")
    if len(parts) >= 3 and parts[0] == "blocks" and parts[1].isdigit():
        return Site(int(parts[1]), ".".join(parts[2:]), tokens)
    return Site(None, str(name), tokens)
