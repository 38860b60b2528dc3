"""Checkpoints of eai-sparsify."""

from visae.sae.exchange.libraries import Library

ENTRY = Library(
    label="eai-sparsify",
    versions="1.3.3",
)
