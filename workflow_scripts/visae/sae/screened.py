"""Which encoders are screened (`visae.sae.screen`): light, because the plan asks too."""

SCREENED_WEIGHTS = 2**20
"""Encoders of at least so many weights are screened. It depends on nothing but the SAE's shape,
because codes of the two products differ by rounding."""
WIDTH_UNIT = 64
"""The width of their rows is a multiple of this."""
CROWDED = 1 / 8
"""Part of the codes: where more are candidates, rounding saves nothing."""


def is_screened(features: int, width: int) -> bool:
    """Whether products with an encoder of this shape are screened, on whatever processor."""
    return features * width >= SCREENED_WEIGHTS and width % WIDTH_UNIT == 0
