"""Masked autoencoders."""

from visae.pretraining.paradigms import Paradigm

ENTRY = Paradigm(
    label="MAE",
    description="Three quarters of the patches are hidden and rebuilt from the rest.",
    source="He et al. 2022",
)
