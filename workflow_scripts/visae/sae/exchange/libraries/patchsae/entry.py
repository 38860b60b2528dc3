"""Checkpoints of PatchSAE."""

from visae.sae.exchange.libraries import Library

ENTRY = Library(
    label="PatchSAE",
    versions="commit 763eceb",
    config_classes=("src.sae_training.config.ViTSAERunnerConfig",),
)
