"""Going on from a block: the tokens that it put out, perhaps edited → what the network ends with.

The loader's own forward pass does it: a hook puts the tokens in the place of the block's output,
and the last block's output goes through the final norm. Running the blocks that are left alone
gives the same in less time; it is done only where it was seen to give the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from visae.backbones import structure
from visae.backbones.backbone import Backbone
from visae.base.arrays import Float


class Ending(NamedTuple):
    """What the network ends with, after the final norm."""

    class_token: Float[torch.Tensor, "B D"] | None
    """None where the model has none."""
    patches: Float[torch.Tensor, "B P D"]
    """In raster order."""


class Continuation:
    """What follows block `layer` of a backbone.

    images: normalised images [B, 3, S, S] on the backbone's device. tokens: all tokens of the
    block's output [B, T, D], prefix tokens included, patches in raster order, as
    `Backbone.block_output` gives them.

    Attributes: `left` (number of blocks that follow), `alone` (whether they are run alone).
    Raises UserError when there is no such block.
    """

    def __init__(self, backbone: Backbone, layer: int):
        self.backbone, self.layer = backbone, layer
        self.left = backbone.depth - 1 - layer
        self._calls = self._calls_that_agree()
        self.alone = bool(self._calls) or not self.left

    @torch.inference_mode()
    def tokens(self, images_b3hw: Float[torch.Tensor, "B 3 S S"]) -> Float[torch.Tensor, "B T D"]:
        """The output of the block, all tokens."""
        return self.backbone.block_output(images_b3hw, self.layer)

    @torch.inference_mode()
    def __call__(
        self,
        images_b3hw: Float[torch.Tensor, "B 3 S S"],
        tokens_btd: Float[torch.Tensor, "B T D"],
    ) -> Ending:
        """What the network ends with where the block puts out `tokens`."""
        if self.alone:
            last_btd = self._alone(self._calls, tokens_btd)
        else:
            last_btd = self._whole(images_b3hw, tokens_btd)
        ended_btd = self.backbone.final_norm(last_btd)
        return Ending(
            ended_btd[:, 0] if self.backbone.class_token else None,
            ended_btd[:, self.backbone.prefix_tokens :],
        )

    def _whole(self, images_b3hw, tokens_btd):
        """The last block's output, by the whole forward pass."""

        def replace(_module, _arguments, output):
            if isinstance(output, tuple):
                return tokens_btd.reshape(output[0].shape), *output[1:]
            return tokens_btd.reshape(output.shape)

        hook = self.backbone.blocks[self.layer].register_forward_hook(replace)
        try:
            return self.backbone.block_output(images_b3hw, self.backbone.depth - 1)
        finally:
            hook.remove()

    @staticmethod
    def _alone(calls, tokens_btd):
        """The last block's output, by the blocks that are left, called as in `calls`."""
        for block, shape, arguments, keywords in calls:
            entering = tokens_btd.reshape(len(tokens_btd), *shape)
            tokens_btd = structure.tokens(block(entering, *arguments, **keywords))
        return tokens_btd

    @torch.inference_mode()
    def _calls_that_agree(self):
        """How the blocks that are left are called, if they alone give the same bits; else empty.

        Tried on batches of two sizes, edited and as they are: what depends on the batch, or is
        done between blocks, would differ.
        """
        blank = self.backbone.blank()
        random = torch.Generator().manual_seed(0)

        def noise(*shape):
            return torch.randn(*shape, generator=random).to(blank.device)

        calls = self._calls_of(noise(*blank.shape))
        for size in (1, 3) if calls else ():
            images_b3hw = noise(size, *blank.shape[1:])
            tokens_btd = self.tokens(images_b3hw)
            for changed_btd in (tokens_btd, tokens_btd + noise(*tokens_btd.shape)):
                try:
                    found_btd = self._alone(calls, changed_btd)
                except (RuntimeError, TypeError, ValueError):
                    return []
                if not torch.equal(found_btd, self._whole(images_b3hw, changed_btd)):
                    return []
        return calls

    def _calls_of(self, images_b3hw):
        """[(block, shape of an image's tokens, further arguments, keywords), …].

        Empty where tokens do not come first. Some models have them as maps [H, W, D].
        """
        calls = []

        def note(block, arguments, keywords):
            calls.append((block, arguments, keywords))

        hooks = [
            block.register_forward_pre_hook(note, with_kwargs=True)
            for block in self.backbone.blocks[self.layer + 1 :]
        ]
        try:
            self.backbone.block_output(images_b3hw, self.backbone.depth - 1)
        finally:
            for hook in hooks:
                hook.remove()
        if not all(arguments for _, arguments, _ in calls):
            return []
        return [
            (block, given[0].shape[1:], given[1:], keywords) for block, given, keywords in calls
        ]
