"""Which SAE, and how it is trained: names and settings, free of torch for the Snakefile's sake."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from visae.base.errors import UserError
from visae.sae.choices import (
    Auxiliary,
    Resampling,
    Schedule,
    as_settings,
    check_prefixes,
    prefix_stops,
)
from visae.sae.families import FAMILIES

PRECISIONS = ("float32", "float16")
LOSSES = ("mean", "sum")
THRESHOLD_RULES = ("quantile", "batch_minimum")
DECODER_BIASES = ("none", "added", "tied")
DECODER_GRADIENTS = ("whole", "tangent")

# Settings that are one of a few words.
_WORDS = {
    "precision": PRECISIONS,
    "loss": LOSSES,
    "threshold_rule": THRESHOLD_RULES,
    "decoder_bias": DECODER_BIASES,
    "decoder_gradient": DECODER_GRADIENTS,
}

# Settings that None switches off.
_OPTIONAL = ("gradient_clip", "ragged_images", "encoder_from_decoder")

SOME_HAVE = ("auxiliary", "prefixes", "random_prefixes", "resampling")
"""Settings that families have whose entry says so."""

OWN = (
    "seed",
    "learning_rate",
    "adam_beta1",
    "gradient_clip",
    "loss",
    "schedule",
    "encoder_from_decoder",
    "decoder_bias",
    "decoder_gradient",
    *SOME_HAVE,
)
"""Settings that a sweep may have of its own. The others decide which tokens are seen when, which
is the same for all SAEs of a pass."""


_NAME = r"(\w+)_([\d.e+]+)x_(.*)"

_LABELLED = "="
"""Between an SAE's own name and what it is, in a spec's text."""


@dataclass(frozen=True)
class SaeSpec:
    """Which SAE: the family, the expansion factor F / D, the sparsity, and a name where it has one.

    sparsity: active features per token, K or the target L0, or a coefficient: as the family's
    entry says. label: the name that people gave the SAE; None for one that is made of the rest.
    With a label, the expansion factor need not be whole, and the sparsity may be unknown (None).
    """

    family: str
    expansion_factor: float
    sparsity: float | None
    label: str | None = None

    def __post_init__(self):
        counted = FAMILIES[self.family].sparsity.counted
        factor = self.expansion_factor
        if not 0 < factor < math.inf or not (self.label or factor == int(factor)):
            raise UserError(
                f"expansion factor {factor} is no whole number from 1 on, by which the width is "
                "multiplied: correct it"
            )
        if self.sparsity is None and self.label:
            return
        if (
            self.sparsity is None
            or not 0 < self.sparsity < math.inf
            or (counted and not self.label and self.sparsity != int(self.sparsity))
        ):
            raise UserError(
                f"sparsity {self.sparsity} of a {self.family} SAE is not a positive "
                f"{'whole number' if counted else 'number'}: correct it in the sweep"
            )

    @property
    def k(self) -> float | None:
        """K or the target L0: how many features per token are meant to be active, or None."""
        return self.sparsity if FAMILIES[self.family].sparsity.counted else None

    @property
    def target(self) -> float:
        """The sparsity, of an SAE that is trained here: it is known."""
        if self.sparsity is None:
            raise UserError(f"the sparsity of {self.name} is unknown, so it cannot be trained")
        return self.sparsity

    @property
    def configuration(self) -> str:
        """Family, expansion factor and sparsity in one word, such as `batchtopk_16x_k128`."""
        kind = FAMILIES[self.family].sparsity
        sparsity = "" if self.sparsity is None else f"{kind.in_name}{self.sparsity:.12g}"
        return f"{self.family}_{self.expansion_factor:.12g}x_{sparsity}"

    @property
    def name(self) -> str:
        """The name of the SAE's folder: its label, or its configuration."""
        return self.label or self.configuration

    @property
    def text(self) -> str:
        """All of it in one word, for the parameters of jobs: `from_text` reads it."""
        return f"{self.label}{_LABELLED}{self.configuration}" if self.label else self.configuration

    def features(self, width: int) -> int:
        """F of an SAE on activations of `width`."""
        return round(self.expansion_factor * width)

    @classmethod
    def from_text(cls, text: str) -> SaeSpec:
        """The spec whose `text` this is; UserError when it is that of none."""
        label, _, configuration = text.rpartition(_LABELLED)
        if match := re.fullmatch(_NAME, configuration):
            family, expansion_factor, sparsity = match.groups()
            with contextlib.suppress(ValueError, UserError):
                kind = FAMILIES[family].sparsity
                number = sparsity.removeprefix(kind.in_name)
                value = _number(number) if number else None
                spec = cls(family, _number(expansion_factor), value, label or None)
                if spec.text == text:
                    return spec
        raise UserError(
            f"{text!r} is not the name of an SAE: write its family (one of {', '.join(FAMILIES)}), "
            "expansion factor and sparsity, like batchtopk_16x_k128"
        )


def _number(text):
    """A number as it is written: whole ones are ints."""
    value = float(text)
    return int(value) if value.is_integer() else value


@dataclass(frozen=True)
class TrainingSettings:
    """How the SAEs of a sweep are trained; the defaults are the paper's (Appendix A).

    batch_size: patch tokens per step.
    learning_rate: Adam's, constant, without weight decay.
    epochs: passes over the training cache.
    seed: of the initial weights and of the order of tokens; the same for every SAE.
    gradient_clip: largest L2 norm of the gradient of all weights of an SAE; None for no clipping.
    loss: squared errors are averaged over tokens, and over dimensions their `mean` or `sum`
        (Eq. 1) is taken; penalties on codes keep their weight beside them.
    precision: of the matrix products on CUDA, `float16` (summed in float32) or `float32`; the
        CPU always computes in float32, and codes are selected in float32 everywhere.
    log_interval: steps per line of `training.jsonl`.
    checkpoint_minutes: time between two resumable checkpoints; with 0, every step writes one.
    window_images: images whose tokens are held in memory and shuffled together.
    ragged_images: images of a shard that is shuffled by itself and ends with a smaller batch,
        which has a whole batch's budget of codes; None for batches across windows.
    threshold_images: held-out images on which inference thresholds and L0 are measured.
    threshold_rule: `quantile` of all their codes, or `batch_minimum`: the mean, over batches of
        `batch_size` tokens, of the smallest code that BatchTopK keeps.
    recipes: family → which of its recipes trains it; without one, a family's first.
    adam_beta1: decay of Adam's mean of gradients.
    schedule: a Schedule of the learning rate.
    encoder_from_decoder: each row of the encoder begins as so many times its decoder row, which
        has unit norm then; None for rows that are drawn by themselves.
    decoder_bias: a vector that is trained and `added` to reconstructions, or `tied`: taken from
        what is encoded as well; `none` for no such vector.
    decoder_gradient: `whole`, or `tangent`: without what would only change a row's norm.
    auxiliary, prefixes, random_prefixes, resampling: for the families whose entry has them; see
        `visae.sae.choices`. None for none, or for a family's own way.
    own: name of an SAE → which of these settings are its own, as a config writes them (OWN, and
        recipes).
    """

    batch_size: int = 8192
    learning_rate: float = 1e-3
    epochs: int = 1
    seed: int = 42
    gradient_clip: float | None = 1.0
    loss: str = "mean"
    precision: str = "float16"
    log_interval: int = 100
    checkpoint_minutes: float = 10
    window_images: int = 1024
    ragged_images: int | None = None
    threshold_images: int = 1024
    threshold_rule: str = "quantile"
    recipes: dict = field(default_factory=dict)
    adam_beta1: float = 0.9
    schedule: Schedule = field(default_factory=Schedule)
    encoder_from_decoder: float | None = None
    decoder_bias: str = "none"
    decoder_gradient: str = "whole"
    auxiliary: Auxiliary | None = None
    prefixes: tuple[float, ...] | None = None
    random_prefixes: int | None = None
    resampling: Resampling | None = None
    own: dict = field(default_factory=dict)

    def __post_init__(self):
        check_prefixes(self.prefixes, self.random_prefixes)
        if not 0 <= self.adam_beta1 < 1:
            raise UserError(
                f"training setting adam_beta1 is {self.adam_beta1}: write a number from 0 on, "
                "below 1"
            )
        for setting in fields(self):
            value = getattr(self, setting.name)
            others = ("recipes", "own", "seed", "adam_beta1", "schedule", *SOME_HAVE, *_WORDS)
            if setting.name in others:
                continue
            if value is None:
                if setting.name in _OPTIONAL:
                    continue
                raise UserError(f"training setting {setting.name} is empty: give a number")
            if not value >= 0 or (value == 0 and setting.name != "checkpoint_minutes"):
                raise UserError(f"training setting {setting.name} is {value}: it must be positive")
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise UserError(
                    f"training setting {name} is {getattr(self, name)!r}: "
                    f"write {' or '.join(words)}"
                )
        for family, recipe in self.recipes.items():
            check_recipe(family, recipe, "training setting recipes")

    def of(self, spec: SaeSpec) -> TrainingSettings:
        """The settings of one SAE, with none of another."""
        return replace(self, own={}, **as_settings(self.own.get(spec.name, {})))

    def described(self, spec: SaeSpec) -> dict[str, Any]:
        """{setting: value} of all that decides what comes out for an SAE, as JSON has them."""
        settings, family = self.of(spec), FAMILIES[spec.family]
        idle = {"checkpoint_minutes", "recipes", "own", *SOME_HAVE} - {*family.settings}
        chosen = {name: value for name, value in asdict(settings).items() if name not in idle}
        recipe = settings.recipe(spec.family)
        return chosen if recipe is None else chosen | {"recipe": recipe}

    @property
    def threshold_batch(self) -> int | None:
        """Tokens of a batch whose smallest code counts, or None where the quantile is taken."""
        return self.batch_size if self.threshold_rule == "batch_minimum" else None

    def recipe(self, family: str) -> str | None:
        """Which of its recipes trains a family, or None where it has none."""
        return self.recipes.get(family, next(iter(FAMILIES[family].recipes), None))


def check_size(spec: SaeSpec, width: int, where: str = "") -> None:
    """UserError unless an SAE on activations of `width` has as many features as are to be active.

    `where` begins the sentence.
    """
    features = spec.features(width)
    if spec.k is not None and spec.k > features:
        raise UserError(
            f"{where}{spec.name} is to have {spec.k:g} active features per token, but has "
            f"{features} in all ({spec.expansion_factor} × {width}): lower K or the target L0, or "
            "raise the expansion factor"
        )


def check_own(spec: SaeSpec, own: Mapping[str, Any], where: str = "") -> None:
    """UserError unless the settings that an SAE is to have of its own fit its family.

    `where` begins the sentence.
    """
    entry = FAMILIES[spec.family]
    for name, value in own.items():
        if name in SOME_HAVE and name not in entry.settings and value is not None:
            have = [other for other in FAMILIES if name in FAMILIES[other].settings]
            raise UserError(
                f"{where}{name} is for SAEs of {', '.join(have)}, and {spec.name} is none: take it "
                "out"
            )
    try:
        TrainingSettings(**as_settings(own))
    except UserError as error:
        raise UserError(f"{where}{error}") from None


def check_own_size(spec: SaeSpec, own: Mapping[str, Any], width: int, where: str = "") -> None:
    """UserError unless the same fit an SAE on activations of `width`. `where` as above."""
    features = spec.features(width)
    settings = TrainingSettings(**as_settings(own))
    auxiliary = settings.auxiliary
    if auxiliary is not None and auxiliary.k is not None and spec.k is not None:
        # A batch has as many active codes as K per token, of K features at least.
        possible = int(features - spec.k)
        if auxiliary.k > possible:
            raise UserError(
                f"{where}auxiliary.k is {auxiliary.k}, but at most {possible} of the {features} "
                f"features of {spec.name} can be dead while {spec.k:g} per token are active: "
                "lower it"
            )
    if "prefixes" in FAMILIES[spec.family].settings and settings.random_prefixes is None:
        try:
            prefix_stops(settings.prefixes, features)
        except UserError as error:
            raise UserError(f"{where}{spec.name}: {error}") from None
    if settings.random_prefixes is not None and settings.random_prefixes > features:
        raise UserError(
            f"{where}random_prefixes is {settings.random_prefixes}, more than the {features} "
            f"features of {spec.name}: lower it"
        )


def check_recipe(family: str, recipe: str, where: str) -> None:
    """UserError, which says `where` it stands, unless `family` can be trained by `recipe`."""
    entry = FAMILIES[family]
    if recipe not in entry.recipes:
        cure = f"write {' or '.join(entry.recipes)}" if entry.recipes else "remove it"
        raise UserError(f"{where} is {recipe!r}, which trains no {entry.label} SAEs: {cure}")
