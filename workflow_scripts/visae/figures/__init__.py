"""The look that all figures have in common; what each of them draws is with its product."""

FORMAT = "visae-figure-1"
"""Of a PNG, which the report shows."""
