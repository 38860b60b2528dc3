"""Checkpoints of openai/sparse_autoencoder."""

from visae.sae.exchange.libraries import Library

ENTRY = Library(
    label="openai/sparse_autoencoder",
    versions="commit 4965b94",
)
