"""DeiT."""

from visae.pretraining.paradigms import Paradigm

ENTRY = Paradigm(
    label="DeiT",
    description="Classes are learned from labels and from a convolutional teacher.",
    source="Touvron et al. 2021",
)
