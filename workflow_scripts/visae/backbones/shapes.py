"""The geometry of backbones, measured on torch's meta device: shapes without weights or work."""

from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.geometry import Geometry
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
    with torch.device("meta"):
        backbone = build_backbone(spec)
        side = backbone.transform.crop
        image = torch.zeros(1, 3, side, side)
        flops = []
        with FlopCounterMode(display=False) as counter:
            for block in backbone.blocks:
                block.register_forward_hook(lambda *_: flops.append(counter.get_total_flops()))
            backbone.block_output(image, backbone.depth - 1)
    rows, columns = backbone.grid
    return Geometry(rows * columns, backbone.width, tuple(flops))


def _spec(name, entry):
    """The backbone with random weights; a local Hugging Face folder still says what it holds."""
    keys = ("loader", "model", "image_size", "options")
    spec = BackboneSpec(name, **{key: entry[key] for key in keys}, weights="random")
    folder = Path(entry["weights"])
    if entry["loader"] == "transformers" and (folder / "config.json").is_file():
        return replace(spec, model=str(folder.resolve()))
    return spec
