"""Checkpoints of MSAE."""

from visae.sae.exchange.libraries import Library

ENTRY = Library(
    label="MSAE",
    versions="commit c0bf439",
)
