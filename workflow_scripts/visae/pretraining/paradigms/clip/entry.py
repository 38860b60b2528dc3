"""CLIP."""

from visae.pretraining.paradigms import Paradigm

ENTRY = Paradigm(
    label="CLIP",
    description="Images and captions meet in one space, by a softmax over the batch.",
    source="Radford et al. 2021",
)
