"""The interface of a backbone: images in, patch tokens of one transformer block out."""

import contextlib
import functools
import math

import numpy as np
import torch
from torch import nn

from visae.backbones import structure
from visae.backbones.order import generator_of, patch_order
from visae.base import fingerprints
from visae.base.errors import UserError


class _StopForward(Exception):
    """Ends a forward pass once the wanted block has answered."""


class Backbone(nn.Module):
    """A vision transformer whose blocks can be read.

    Loaders pass the library's `model`, `run`, a function of normalised images [B, 3, H, W] that
    calls it, and the `preprocessing` of the weights. Blocks, patches and prefix tokens are measured
    (`visae.backbones.structure`). stated_prefix: the number of prefix tokens that the library
    states; None where it states none. Of what follows the blocks they pass the `final_norm` (None:
    there is none), and whether the first token is a `class_token`.

    Attributes: `spec`, `model`, `blocks` (in order), `depth` (their number), `grid` (H, W) of
    patches, `patch` (pixels of a patch's side), `apart` (see `Structure`), `prefix_tokens` (class,
    register and distillation tokens before the patches), `width` (D), `weights_reading` (how names
    in a local file were read, empty where they were the model's own), `final_norm` (a module) and
    `class_token`.

    Raises UserError as `structure.measure`, and when the prefix is not the stated one.
    """

    _mean: torch.Tensor
    _std: torch.Tensor

    def __init__(
        self, spec, model, run, preprocessing, stated_prefix=None, final_norm=None,
        class_token=False,
    ):  # fmt: skip
        super().__init__()
        self.spec, self.model = spec, model.eval().float().requires_grad_(False)
        self.run, self.transform = run, preprocessing
        self.final_norm, self.class_token = final_norm or nn.Identity(), class_token
        for name in ("mean", "std"):
            values = torch.tensor(getattr(preprocessing, name)).reshape(3, 1, 1)
            self.register_buffer(f"_{name}", values, persistent=False)
        self.weights_reading = ""
        found = structure.measure(spec, self.model, run, self.blank())
        self.blocks, self.depth = found.blocks, len(found.blocks)
        self.grid, self.patch, self.width = found.grid, found.patch, found.width
        self.apart, self.prefix_tokens = found.apart, found.prefix_tokens
        if stated_prefix not in (None, self.prefix_tokens):
            patches = math.prod(self.grid)
            raise UserError(
                f"The blocks of backbone '{spec.name}' put out {patches + self.prefix_tokens} "
                f"tokens, not the {patches} patches and {stated_prefix} prefix tokens that "
                f"{spec.loader} states for '{spec.model}': only plain vision transformers, with "
                "one token per patch in every block, can be used."
            )

    @property
    def preprocessing(self):
        """What is done to an image before the network sees it, as a JSON-able dictionary."""
        return self.transform.record()

    @functools.cached_property
    def weights_fingerprint(self):
        """Hash of all weights of the network."""
        return fingerprints.of_tensors(self.model.state_dict().items())

    def preprocess(self, image):
        """One PIL image (RGB) as the network's input: float32 [3, H, W] on the CPU."""
        return torch.from_numpy(self.transform.normalised(image))

    def normalise(self, pixels):
        """Pixels […, 3, H, W], on the backbone's device, as float32 network input.

        As `Preprocessing.pixels` gives them: uint8, or float32 on the scale from 0 to 1.
        """
        shares = pixels.clone() if pixels.is_floating_point() else pixels.float().div_(255)
        return shares.sub_(self._mean).div_(self._std)

    @torch.inference_mode()
    def patch_tokens(self, images_b3hw, layer, noise_bp=None):
        """Output of block `layer` (0-based) at the patches, before any final norm.

        images_b3hw: normalised images [B, 3, H, W] on the backbone's device. Returns float32
        [B, P, D] in raster order, whatever `spec.token_order` says (see `permute_patches`), unless
        there is `noise_bp` [B, P]: a ViTMAEModel then puts the patches in its increasing order.
        Raises UserError when there is no such block.
        """
        tokens = self.block_output(images_b3hw, layer, noise_bp)
        return tokens[:, self.prefix_tokens :].float()

    @torch.inference_mode()
    def patch_tokens_of(self, images_b3hw, layers, noise_bp=None):
        """`patch_tokens` of several blocks from one pass, which ends at the last of them.

        Returns {block: float32 [B, P, D]}.
        """
        for layer in layers:
            self._check_layer(layer)
        *early, last = sorted(layers)
        found = {}

        def keep(layer):
            def keep_output(_module, _arguments, output):
                tokens = structure.tokens(output)
                # A copy, since the next block may add to it in place.
                found[layer] = tokens[:, self.prefix_tokens :].to(torch.float32, copy=True)

            return keep_output

        hooks = [self.blocks[layer].register_forward_hook(keep(layer)) for layer in early]
        try:
            found[last] = self.patch_tokens(images_b3hw, last, noise_bp)
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def blank(self):
        """One image without content as network input: zeros [1, 3, H, W], where the weights are."""
        device = next(self.model.parameters()).device
        return torch.zeros(1, 3, *self.transform.shape, device=device)

    @torch.inference_mode()
    def block_output(self, images_b3hw, layer, noise_bp=None):
        """All tokens that block `layer` puts out, prefix tokens included: [B, T, D]."""
        return self.block_output_with_grad(images_b3hw, layer, noise_bp)

    def block_output_with_grad(self, images_b3hw, layer, noise_bp=None):
        """The same, recorded for gradients where the caller's mode asks for it."""
        self._check_layer(layer)

        def keep(_module, _arguments, output):
            kept.append(structure.tokens(output))
            raise _StopForward

        kept = []
        hook = self.blocks[layer].register_forward_hook(keep)
        arguments = {} if noise_bp is None else {"noise_bp": noise_bp}
        return self._run_until(hook, images_b3hw, kept, **arguments)

    @torch.inference_mode()
    def embedded_tokens(self, images_b3hw):
        """All tokens that enter block 0, before any of them has seen another: [B, T, D]."""

        def keep(_module, arguments, keywords):
            kept.append(structure.tokens([*arguments, *keywords.values()]))
            raise _StopForward

        kept = []
        hook = self.blocks[0].register_forward_pre_hook(keep, with_kwargs=True)
        return self._run_until(hook, images_b3hw, kept)

    def _run_until(self, hook, images_b3hw, kept, **arguments):
        try:
            self.run(images_b3hw, **arguments)
        except _StopForward:
            return kept[0]
        finally:
            hook.remove()
        raise RuntimeError(f"the forward pass of backbone {self.spec.name} never met its block")

    def _check_layer(self, layer):
        if not 0 <= layer < self.depth:
            raise UserError(
                f"Backbone '{self.spec.name}' has no block {layer}: '{self.spec.model}' has "
                f"{self.depth} blocks, numbered 0 to {self.depth - 1}."
            )


def autocast(precision, device):
    """The context in which a forward pass has `precision`: `float32`, or `float16` on CUDA.

    On the CPU half precision would be slower, so `float16` means float32 there.
    """
    if precision == "float16" and device.type == "cuda":
        return torch.autocast("cuda", torch.float16)
    return contextlib.nullcontext()


def permute_patches(tokens_bpd, image_ids, seed):
    """Shuffle each image's patches: the control arm `token_order: permuted`.

    The order depends on `seed` and the image's id only, not on batch or shard. tokens_bpd:
    [B, P, D]; returns the same shape.
    """
    orders = [patch_order(tokens_bpd.shape[1], image_id, seed) for image_id in image_ids]
    index_bp1 = torch.from_numpy(np.stack(orders)).to(tokens_bpd.device)[:, :, None]
    return torch.gather(tokens_bpd, 1, index_bp1.expand_as(tokens_bpd))


def patches_in_order(token_order, patches, image_id, seed):
    """Raster positions of an image's patches in the order `permuted` or `forward`: int64 [P]."""
    if token_order == "permuted":
        return patch_order(patches, image_id, seed)
    return forward_noise(patches, [image_id], seed)[0].argsort().numpy()


def forward_noise(patches, image_ids, seed):
    """What a ViTMAEModel sorts each image's patches by, as it would draw it: float32 [B, P].

    Uniform in [0, 1), of `seed` and the image's id only, so that the order can be repeated.
    """
    drawn = [generator_of(i, seed).random(patches, dtype=np.float32) for i in image_ids]
    return torch.from_numpy(np.stack(drawn))
