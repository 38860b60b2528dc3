"""A built model made to compute what another library computes of the same weights."""

import contextlib

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from visae.base.errors import UserError


class QuickGelu(nn.Module):
    """The GELU of OpenAI's CLIP: x · sigmoid(1.702 x)."""

    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


GELUS = {"exact": nn.GELU, "tanh": lambda: nn.GELU(approximate="tanh"), "quick": QuickGelu}


class _Resampling(TorchFunctionMode):
    """Tables are resampled by `mode`, antialiased or not, whatever the calling library asks for."""

    def __init__(self, mode, antialiased):
        super().__init__()
        self.changes = {"mode": mode, "antialias": antialiased}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is nn.functional.interpolate:
            kwargs = kwargs | self.changes
        return func(*args, **kwargs)


def resampling(family):
    """The context in which tables of positions are resampled as by a `Family`; None: as they are.

    timm and open_clip resample when weights are loaded, transformers in every forward pass.
    """
    if family is None or family.resampling is None:
        return contextlib.nullcontext()
    return _Resampling(*family.resampling)


def implement(backbone, family):
    """Set activations, norms and the resampling of a built backbone to those of a `Family`.

    Raises UserError for blocks with another activation than the family's GELU or SwiGLU.
    """
    if family.gelu and not all(
        _replace_gelus(block, GELUS[family.gelu]) or _gated(block) for block in backbone.blocks
    ):
        raise UserError(
            f"Backbone '{backbone.spec.name}' ({backbone.spec.model}) has no GELU in its blocks, "
            "which its family has: take `implementation` or the option that sets its activation "
            "out."
        )
    for module in backbone.model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = family.eps
    run = backbone.run

    def run_resampled(*arguments, **keywords):
        with resampling(family):
            return run(*arguments, **keywords)

    del backbone.run  # which may be a module, in whose place no function can be put
    backbone.run = run_resampled


def _replace_gelus(module, made):
    """Put what `made` makes in the place of all GELUs in a module; how many there were."""
    replaced = 0
    for name, child in module.named_children():
        if "gelu" in type(child).__name__.lower():
            setattr(module, name, made())
            replaced += 1
        else:
            replaced += _replace_gelus(child, made)
    return replaced


def _gated(block):
    """Whether a block has a SwiGLU, as the largest DINOv2 and DINOv3 have in all libraries."""
    return any("silu" in type(module).__name__.lower() for module in block.modules())
