"""Checkpoints of sae-lens."""

from visae.sae.exchange.libraries import Library

ENTRY = Library(
    label="sae-lens",
    versions="6.54.12",
)
