"""BatchTopK, the family of the paper's main sweep."""

from visae.sae.families import MEASURED, Family, K

ENTRY = Family(
    label="BatchTopK",
    description="The B·K largest codes of a batch of B tokens are kept.",
    source="Bussmann et al. 2024; section 3",
    sparsity=K,
    threshold=MEASURED,
    settings=("auxiliary",),
)
