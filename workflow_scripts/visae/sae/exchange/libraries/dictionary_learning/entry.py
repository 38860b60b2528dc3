"""Checkpoints of dictionary-learning."""

from visae.sae.exchange.libraries import Library

ENTRY = Library(
    label="dictionary-learning",
    versions="0.1.0",
)
