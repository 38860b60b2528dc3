"""Checkpoints of visaebench, and this workflow."""

from visae.sae.exchange.libraries import Library

ENTRY = Library(
    label="visaebench, and this workflow",
    versions="0.1.0",
)
