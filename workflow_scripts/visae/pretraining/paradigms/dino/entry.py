"""DINO, with the KoLeo term of DINOv2."""

from visae.pretraining.paradigms import Paradigm

ENTRY = Paradigm(
    label="DINO",
    description="A student learns what a slow average of itself says of other crops of an image.",
    source="Caron et al. 2021; Oquab et al. 2024",
)
