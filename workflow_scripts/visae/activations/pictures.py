"""Activations of single pictures, as a cache would hold them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from visae.backbones.backbone import Backbone
from visae.base.arrays import Float

BATCH = 32


def picture_activations(
    backbone: Backbone, layer: int, pictures: Sequence[Image.Image]
) -> Float[torch.Tensor, "n P D"]:
    """Patch activations of a block, float32 [n, P, D] in raster order, rounded as caches are.

    pictures: RGB, of any size; they are resized and cropped as those of the study are.
    """
    batches = [
        torch.stack([backbone.preprocess(picture) for picture in pictures[i : i + BATCH]])
        for i in range(0, len(pictures), BATCH)
    ]
    tokens = torch.cat([backbone.patch_tokens(batch, layer) for batch in batches])
    return tokens.to(getattr(torch, backbone.spec.storage)).float()
