"""The look that all figures have in common; what each of them draws is with its product."""
