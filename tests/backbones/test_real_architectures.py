"""The paper's five backbones in full size, with random weights: one image is enough.

The references are the libraries' own ways to intermediate outputs (`forward_intermediates`).
"""

import pytest
import torch
from study_fixtures import paper_config

from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.checks import check_raster_order

PAPER = {
    "dinov2": ("timm", "vit_base_patch14_dinov2.lvd142m", 16, 1),
    "mae": ("timm", "vit_base_patch16_224.mae", 14, 1),
    "deit": ("timm", "deit_base_patch16_224.fb_in1k", 14, 1),
    "clip": ("open_clip", "ViT-B-16-quickgelu:openai", 14, 1),
    "siglip": ("open_clip", "ViT-B-16-SigLIP:webli", 14, 0),
}

# How the Hugging Face checkpoints that the paper's library names resize an image.
NAMED_CHECKPOINTS = {
    "dinov2": ("shortest", 256, "bicubic"),
    "mae": ("squash", 224, "bilinear"),
    "deit": ("squash", 256, "bicubic"),
    "clip": ("shortest", 224, "bicubic"),
    "siglip": ("squash", 224, "bicubic"),
}


def library_output(backbone, image_b3hw, norm):
    """Block 11 at the patches by the library's own means, with or without the final norm."""
    model = backbone.model
    if hasattr(model, "transformer"):
        answer = model.forward_intermediates(
            image_b3hw, indices=[11], normalize_intermediates=norm, intermediates_only=True
        )["image_intermediates"][0]
        return answer.flatten(2).transpose(1, 2)
    trunk = getattr(model, "trunk", model)
    return trunk.forward_intermediates(
        image_b3hw, indices=[11], norm=norm, output_fmt="NLC", intermediates_only=True
    )[0]


@pytest.mark.parametrize("name", PAPER)
def test_block_11_of_the_papers_backbones(name):
    loader, model, side, prefix = PAPER[name]
    entry = paper_config()["backbones"][name]
    assert (entry["loader"], entry["model"]) == (loader, model)
    changes = entry.get("preprocessing", {})
    backbone = build_backbone(BackboneSpec(name, loader, model, "random", preprocessing=changes))
    assert (backbone.grid, backbone.prefix_tokens) == ((side, side), prefix)
    assert (backbone.width, backbone.depth) == (768, 12)
    seen = {key: backbone.preprocessing[key] for key in ("resize_mode", "resize", "interpolation")}
    assert seen == dict(zip(seen, NAMED_CHECKPOINTS[name], strict=True))
    assert backbone.preprocessing["crop"] == 224
    check_raster_order(backbone)

    generator = torch.Generator().manual_seed(0)
    image_b3hw = torch.randn(1, 3, 224, 224, generator=generator)
    tokens = backbone.patch_tokens(image_b3hw, 11)
    assert tokens.shape == (1, side * side, 768)
    assert torch.equal(tokens, backbone.patch_tokens(image_b3hw, 11))
    with torch.inference_mode():
        torch.testing.assert_close(tokens, library_output(backbone, image_b3hw, norm=False))
        normed = library_output(backbone, image_b3hw, norm=True)
    assert (tokens - normed).abs().mean() > 0.01 * tokens.abs().mean()
