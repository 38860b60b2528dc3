"""What speaks against a trained SAE, in sentences: when its training ends, and on the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FEW_STEPS = 50
"""Adam moves a weight by at most the learning rate per step: 50 steps of 1e-3 are 0.05."""
MANY_DEAD = 0.9
L0_APART = 2.0
"""L0 is off its target beyond this factor, upwards or downwards."""


def told(warnings: Mapping[str, Sequence[str]]) -> str:
    """A line for the terminal of each sentence; warnings: SAE → its sentences."""
    return "".join(f"  {name}: {each}\n" for name, found in warnings.items() for each in found)


def concerns(
    steps: int | None = None,
    passes: int | None = None,
    fvu: float | None = None,
    dead_fraction: float | None = None,
    l0: float | None = None,
    target: float | None = None,
    imported: bool = False,
) -> list[str]:
    """The sentences about what is known of an SAE; empty where nothing speaks against it.

    passes: over the training data. fvu: fraction of variance unexplained, 1 for an SAE that always
    gives the mean. target: active features per token that were meant. imported: whether the SAE was
    trained elsewhere, so that no training of this study can cure it.
    """
    found = []
    longer = "train for more steps"
    if imported:
        longer = "check that it was trained on this block, and what its sweep's `reading` says"
    if steps is not None and steps < FEW_STEPS:
        over = "" if passes is None else f" ({passes} {'pass' if passes == 1 else 'passes'})"
        found.append(
            f"trained for {steps} {'step' if steps == 1 else 'steps'}{over} only: lower "
            "training.batch_size, raise training.epochs, or take more images"
        )
    if fvu is not None and fvu >= 1:
        found.append(
            f"FVU {fvu:.2f} is no better than the mean of the data: {longer}"
            + ("" if imported else ", or change training.learning_rate")
        )
    if dead_fraction is not None and dead_fraction >= MANY_DEAD:
        found.append(
            f"{dead_fraction:.0%} of the features are dead: {longer}"
            + ("" if imported else ", or lower the expansion factor")
        )
    if l0 is not None and target and not target / L0_APART <= l0 <= target * L0_APART:
        found.append(
            f"L0 is {l0:.3g} for a target of {target:g}: {longer}"
            + ("" if imported else ", or change the target")
        )
    return found
