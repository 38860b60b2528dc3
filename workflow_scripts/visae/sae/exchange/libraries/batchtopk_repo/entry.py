"""Checkpoints of BatchTopK."""

from visae.sae.exchange.libraries import Library

ENTRY = Library(
    label="BatchTopK",
    versions="commit b9aab1c",
)
