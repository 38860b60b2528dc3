"""Checkpoints of sae-for-vlm."""

from visae.sae.exchange.libraries import Library

ENTRY = Library(
    label="sae-for-vlm",
    versions="commit 69e211d",
)
