"""ReLU with an L1 penalty."""

from visae.sae.families import L1, NONE, Family

ENTRY = Family(
    label="ReLU + L1",
    description="Positive codes are kept, and a penalty on their sum keeps them few.",
    source="Bricken et al. 2023; not in the paper",
    sparsity=L1,
    threshold=NONE,
    settings=("resampling",),
)
