"""Activations of single pictures are those that a cache of them would hold."""

import numpy as np
import pytest
import torch
from backbone_fixtures import small_spec
from PIL import Image

from visae.activations.pictures import picture_activations
from visae.backbones import build_backbone
from visae.backbones.storage import STORAGES


@pytest.mark.parametrize("storage", STORAGES)
def test_pictures_give_what_a_cache_would_store(storage):
    backbone = build_backbone(small_spec("timm", storage=storage))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    pictures = [Image.fromarray(each) for each in pixels]
    exact = backbone.patch_tokens(torch.stack([backbone.preprocess(p) for p in pictures]), 1)
    found = picture_activations(backbone, 1, pictures)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, exact.to(getattr(torch, storage)).float(), rtol=2.0 ** (1 - STORAGES[storage].bits),
        atol=1e-6,
    )  # fmt: skip
    torch.testing.assert_close(found, found.to(getattr(torch, storage)).float(), rtol=0, atol=0)
