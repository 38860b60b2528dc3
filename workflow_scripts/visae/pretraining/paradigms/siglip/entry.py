"""SigLIP."""

from visae.pretraining.paradigms import Paradigm

ENTRY = Paradigm(
    label="SigLIP",
    description="Images and captions meet in one space, by a sigmoid per pair.",
    source="Zhai et al. 2023",
)
