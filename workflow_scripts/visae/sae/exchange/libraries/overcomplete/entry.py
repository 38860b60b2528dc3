"""Checkpoints of overcomplete."""

from visae.sae.exchange.libraries import Library

ENTRY = Library(
    label="overcomplete",
    versions="0.3.0",
)
