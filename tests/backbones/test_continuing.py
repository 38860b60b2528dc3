"""Going on from a block: edits of nothing change no bit, and edits go where they are said to."""

import pytest
import torch
from backbone_fixtures import ONE_PER_LOADER, SMALL, small_spec, some_images

from visae.backbones import build_backbone
from visae.backbones.continuing import Continuation
from visae.backbones.structure import tokens as tokens_of
from visae.base.errors import UserError


@pytest.fixture(scope="module", params=SMALL)
def backbone(request):
    return build_backbone(small_spec(request.param))


def by_hand(backbone, images):
    """All tokens that the network ends with, by its own forward pass."""
    kept = []
    hook = backbone.blocks[-1].register_forward_hook(lambda _, __, out: kept.append(out))
    with torch.inference_mode():
        backbone.run(images)
    hook.remove()
    last = tokens_of(kept[0])
    with torch.inference_mode():
        return backbone.final_norm(last)


WITHOUT_CLASS_TOKEN = (
    *("siglip_vision_model", "siglip2_vision_model", "aimv2_vision_model", "ijepa"),
    *("naflex", "gemma", "gemma_encoder", "sam"),
)

WITHOUT_LAYER_NORM = (
    *("aimv2_vision_model", "beit", "data2vec-vision", "gemma", "gemma_encoder", "sam"),
)


@pytest.mark.parametrize("layer", range(3))
def test_an_edit_of_nothing_changes_no_bit(backbone, layer):
    images, expected = some_images(3), by_hand(backbone, some_images(3))
    head = torch.randn(32, 7, generator=torch.Generator().manual_seed(1))
    ways = [Continuation(backbone, layer)]
    assert ways[0].left == 2 - layer
    assert ways[0].alone, "the blocks that are left are run alone"
    ways.append(Continuation(backbone, layer))
    ways[1].alone = False
    for continuation in ways:
        tokens = continuation.tokens(images)
        ending = continuation(images, tokens + 2.5 * (tokens - tokens))
        assert torch.equal(ending.patches @ head, expected[:, backbone.prefix_tokens :] @ head)
        if backbone.class_token:
            assert torch.equal(ending.class_token @ head, expected[:, 0] @ head)


def test_the_class_token_is_there_where_the_model_has_one(backbone):
    kind = backbone.spec.name
    ending = Continuation(backbone, 1)(some_images(), backbone.block_output(some_images(), 1))
    assert (ending.class_token is None) == (kind in WITHOUT_CLASS_TOKEN)
    assert ending.patches.shape == (2, 16, 32)


def test_the_final_norm_is_the_librarys(backbone):
    """Tokens are scaled to unit variance, which no block leaves them at."""
    if not isinstance(backbone.final_norm, torch.nn.LayerNorm):
        # A root mean square, or none: these libraries hand the last block's output on.
        assert backbone.spec.name in WITHOUT_LAYER_NORM
        return
    last = backbone.block_output(some_images(), 2)
    ending = Continuation(backbone, 2)(some_images(), last)
    spread = ending.patches.var(dim=-1, unbiased=False)
    torch.testing.assert_close(spread, torch.ones_like(spread), rtol=1e-3, atol=1e-3)
    # PE has a norm before its blocks, which leave most of it.
    least = 0.01 if backbone.spec.name == "timm_wrapper" else 0.05
    assert (last.var(dim=-1) - 1).abs().mean() > least


@pytest.mark.parametrize("kind", ONE_PER_LOADER)
def test_both_ways_give_the_same_bits_for_edited_tokens(kind):
    backbone = build_backbone(small_spec(kind))
    images, fast, slow = some_images(4), Continuation(backbone, 0), Continuation(backbone, 0)
    slow.alone = False
    edited = fast.tokens(images).clone()
    edited[1, backbone.prefix_tokens + 5] += 9 * torch.arange(32).cos()
    plain, one, other = (
        slow(images, slow.tokens(images)),
        fast(images, edited),
        slow(images, edited),
    )
    assert torch.equal(one.patches, other.patches)
    changed = (one.patches != plain.patches).any(dim=-1)
    assert changed[1].all()
    assert not changed[[0, 2, 3]].any()
    if backbone.class_token:
        assert torch.equal(one.class_token, other.class_token)


def test_after_the_last_block_a_patch_changes_itself_alone():
    backbone = build_backbone(small_spec("timm_registers"))
    continuation = Continuation(backbone, 2)
    tokens = continuation.tokens(some_images())
    edited = tokens.clone()
    edited[0, backbone.prefix_tokens + 3] += torch.arange(32.0)
    before, after = continuation(some_images(), tokens), continuation(some_images(), edited)
    assert torch.equal(before.class_token, after.class_token)
    assert (before.patches != after.patches).any(dim=-1).nonzero().tolist() == [[0, 3]]


def test_what_is_done_between_blocks_is_not_left_out():
    """A hook of the model's own, which blocks that are run alone would not meet."""
    backbone = build_backbone(small_spec("timm"))
    run, block = backbone.run, backbone.blocks[1]

    def with_a_shift(images):
        hook = block.register_forward_pre_hook(lambda _, arguments: (arguments[0] + 1,))
        try:
            return run(images)
        finally:
            hook.remove()

    backbone.run = with_a_shift
    continuation = Continuation(backbone, 0)
    assert not continuation.alone
    ending = continuation(some_images(), continuation.tokens(some_images()))
    assert torch.equal(ending.patches, by_hand(backbone, some_images())[:, 1:])


def test_a_block_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="has no block 3"):
        Continuation(build_backbone(small_spec("timm")), 3).tokens(some_images())
