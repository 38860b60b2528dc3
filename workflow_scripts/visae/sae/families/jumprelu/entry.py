"""JumpReLU, the paper's second family."""

from visae.sae.families import LEARNED, TARGET_L0, Family

ENTRY = Family(
    label="JumpReLU",
    description="Codes from their feature's own threshold on are kept; the thresholds are trained, "
    "and a penalty on L0 is steered to its target.",
    source="Rajamanoharan et al. 2024; Appendix Q",
    sparsity=TARGET_L0,
    threshold=LEARNED,
    recipes=("calibrated", "paper"),
    steered=True,
)
