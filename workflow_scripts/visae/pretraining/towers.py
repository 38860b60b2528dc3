"""The backbone as something to be trained: its outputs with gradients, on some of its patches.

The model is the one that `build_backbone` builds, called through its own library, so that the
weights that come out are loaded by the same loader. Nothing is added to it and nothing replaced.
"""

import contextlib

import torch


def make_trainable(backbone):
    """Let gradients into `backbone` (a built one has none) and set it to training mode."""
    backbone.model.train()
    for name, weight in backbone.model.named_parameters():
        # ViTMAE's positions are sines and cosines that its library does not train either.
        weight.requires_grad_(
            not (backbone.spec.model == "vit_mae" and name.endswith("position_embeddings"))
        )


def image_embeddings(backbone, images_b3hw):
    """The image embedding by which the library itself reads the model: [B, E].

    The class token after the final norm (timm, projected in open_clip), or what the model's own
    pooling head makes of the tokens (SigLIP). images_b3hw: normalised images.
    """
    if backbone.spec.loader != "transformers":
        return backbone.model(images_b3hw)
    output = backbone.run(images_b3hw)
    pooled = getattr(output, "pooler_output", None)
    return output.last_hidden_state[:, 0] if pooled is None else pooled


def embedding_width(backbone):
    """E of `image_embeddings`."""
    with torch.no_grad():
        return image_embeddings(backbone, backbone.blank()).shape[1]


def last_tokens(backbone, images_b3hw):
    """All tokens that the last block puts out, before any final norm: [B, T, D]."""
    kept = []
    hook = backbone.blocks[-1].register_forward_hook(
        lambda _module, _arguments, output: kept.append(
            output[0] if isinstance(output, tuple) else output
        )
    )
    try:
        backbone.run(images_b3hw)
    finally:
        hook.remove()
    return kept[0]


@contextlib.contextmanager
def only_patches(backbone, positions_bk):
    """Within the block, only the patches at some raster positions enter the first block.

    They come in the order of positions_bk (int64 [B, K]), after the prefix tokens, and carry the
    position embeddings of where they lie in the image.
    """

    def keep(_module, arguments):
        prefix, patches = arguments[0].split(
            [backbone.prefix_tokens, arguments[0].shape[1] - backbone.prefix_tokens], dim=1
        )
        return torch.cat([prefix, take(patches, positions_bk)], dim=1), *arguments[1:]

    hook = backbone.blocks[0].register_forward_pre_hook(keep)
    try:
        yield
    finally:
        hook.remove()


def take(values_bpd, positions_bk):
    """values_bpd[b, positions_bk[b, k]]: [B, K, D]."""
    index = positions_bk[:, :, None].expand(-1, -1, values_bpd.shape[2])
    return values_bpd.gather(1, index)
