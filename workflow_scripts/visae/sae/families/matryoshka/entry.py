"""Matryoshka BatchTopK."""

from visae.sae.families import MEASURED, Family, K

ENTRY = Family(
    label="Matryoshka",
    description="The B·K largest codes of a batch of B tokens are kept, and each prefix of the "
    "features reconstructs the token, too.",
    source="Bussmann et al. 2025; not in the paper",
    sparsity=K,
    threshold=MEASURED,
    settings=("auxiliary", "prefixes", "random_prefixes"),
)
