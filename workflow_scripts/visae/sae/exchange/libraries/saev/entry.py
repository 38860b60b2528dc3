"""Checkpoints of saev."""

from visae.sae.exchange.libraries import Library

ENTRY = Library(
    label="saev",
    versions="0.1.0 and commit 3d73f1f",
)
