"""Checkpoints of ViT-Prisma."""

from visae.sae.exchange.libraries import Library

ENTRY = Library(
    label="ViT-Prisma",
    versions="commit aa5ff6a",
    config_classes=("vit_prisma.sae.config.VisionModelSAERunnerConfig",),
)
