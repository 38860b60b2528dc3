"""TopK."""

from visae.sae.families import MEASURED, Family, K

ENTRY = Family(
    label="TopK",
    description="The K largest codes of each token are kept in training, codes from one threshold "
    "on when the SAE is evaluated.",
    source="Gao et al. 2024; not in the paper",
    sparsity=K,
    threshold=MEASURED,
    settings=("auxiliary",),
)
