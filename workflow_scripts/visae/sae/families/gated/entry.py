"""Gated SAEs."""

from visae.sae.families import LEARNED, TARGET_L0, Family

ENTRY = Family(
    label="Gated",
    description="A gate decides which codes are active, and shares the encoder with their "
    "magnitudes; an L1 penalty on the gate is steered to the target L0.",
    source="Rajamanoharan et al. 2024a; not in the paper",
    sparsity=TARGET_L0,
    threshold=LEARNED,
    steered=True,
)
