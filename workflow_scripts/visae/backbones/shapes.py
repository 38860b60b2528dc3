"""The geometry of backbones, measured on torch's meta device: shapes without weights or work."""

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.geometry import Geometry
from visae.base.errors import UserError
from visae.base.progress import counted


def measure_geometries(entries):
    """Name → Geometry of backbones given as config entries (name → entry).

    FLOPs are those of the products (a multiplication and an addition are two), as torch counts them
    in the forward pass of one image. Raises UserError as `build_backbone`.
    """
    listed = counted(entries.items(), "backbones measured", len(entries))
    return {name: measure_geometry(_spec(name, entry)) for name, entry in listed}


def measure_geometry(spec):
    """The Geometry of the backbone that `spec` describes."""
    backbone = built_without_weights(spec)
    flops = flops_of_blocks(backbone)
    return Geometry(math.prod(backbone.grid), backbone.width, tuple(flops))


def built_without_weights(spec):
    """The backbone on the meta device, or, where its forward pass reads numbers, on the CPU."""
    try:
        with torch.device("meta"):
            return build_backbone(spec)
    except UserError as error:
        if "meta tensor" not in str(error):
            raise
    return build_backbone(spec)


def flops_of_blocks(backbone, blocks=None):
    """FLOPs of one image up to and including each of the first `blocks`, or of all: a list."""
    flops = []
    with FlopCounterMode(display=False) as counter:
        hooks = [
            block.register_forward_hook(lambda *_: flops.append(counter.get_total_flops()))
            for block in backbone.blocks[:blocks]
        ]
        backbone.block_output(backbone.blank(), len(hooks) - 1)
    for hook in hooks:
        hook.remove()
    return flops


def _spec(name, entry):
    """The backbone with random weights; a local Hugging Face folder still says what it holds."""
    keys = ("loader", "model", "image_size", "options")
    spec = BackboneSpec(name, **{key: entry[key] for key in keys}, weights="random")
    folder = Path(entry["weights"])
    if entry["loader"] == "transformers" and (folder / "config.json").is_file():
        return replace(spec, model=str(folder.resolve()))
    return spec
