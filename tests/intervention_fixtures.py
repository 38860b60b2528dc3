"""A network in which one direction decides one class, an SAE that has it, and painted images.

The network passes the colours of its patches on: token = (red, green, blue, rest …), and each block
adds, to the class token, the mean of the patches. So a class is decided by one direction, which the
SAE of block 0 has as a feature.
"""

import numpy as np
import torch
from PIL import Image
from torch import nn

from visae.backbones import BackboneSpec
from visae.backbones.backbone import Backbone
from visae.backbones.preprocessing import Preprocessing
from visae.images.index import ClassRecord, ImageIndex, ImageRecord
from visae.sae.model import SparseAutoencoder

GRID, PATCH, WIDTH, PREFIX = (4, 4), 4, 6, 2
RED, GREEN, BLUE, DEAD, GREY = range(5)
CLASSES = ("red", "green", "blue")
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90]], np.uint8)


class _Block(nn.Module):
    """The class token gathers the patches, which stay as they are."""

    def __init__(self):
        super().__init__()
        self.share = nn.Parameter(torch.ones(1))

    def forward(self, tokens_btd):
        gathered = self.share * tokens_btd[:, PREFIX:].mean(dim=1, keepdim=True)
        class_token = tokens_btd[:, :1] + gathered
        return torch.cat([class_token, tokens_btd[:, 1:]], dim=1)


class _Colours(nn.Module):
    """Patches by their colour; a class token of zeros, and a register of ones."""

    def __init__(self, blocks):
        super().__init__()
        self.blocks = nn.ModuleList(_Block() for _ in range(blocks))
        # Mean colours, and ones beside them.
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        with torch.no_grad():
            self.patches.weight.zero_()
            self.patches.bias.copy_(torch.tensor([0.0, 0, 0, 1, 1, 1]))
            for colour in range(3):
                self.patches.weight[colour, colour] = PATCH**-2

    def forward(self, images_b3hw):
        patches = self.patches(images_b3hw).flatten(2).transpose(1, 2)
        prefix = torch.zeros(len(images_b3hw), PREFIX, WIDTH, device=images_b3hw.device)
        prefix[:, 1] = 1
        tokens_btd = torch.cat([prefix, patches], dim=1)
        for block in self.blocks:
            tokens_btd = block(tokens_btd)
        return tokens_btd


def colour_backbone(blocks=3, class_token=True, token_order="raster"):
    """The network as a backbone without a final norm, whose class token is the first of two."""
    model = _Colours(blocks)
    side = GRID[0] * PATCH
    transform = Preprocessing("squash", side, side, "nearest", (0, 0, 0), (1, 1, 1))
    return Backbone(
        BackboneSpec("colours", "planted", "colours", token_order=token_order, storage="float32"),
        model, model, transform, PREFIX, class_token=class_token,
    )  # fmt: skip


def colour_sae():
    """Features: red, green, blue, a dead one, and one of grey patches, which tells no class."""
    colours = torch.cat([torch.eye(3) - 0.5 * (1 - torch.eye(3)), torch.zeros(3, 3)], dim=1)
    grey = torch.tensor([0.1, 0.1, 0.1, 0, 0, 0])
    encoder = torch.stack([*colours, torch.zeros(WIDTH), grey])
    decoder = torch.zeros(5, WIDTH)
    decoder[:3, :3] = torch.eye(3)
    decoder[3, 3] = 1
    decoder[4, 4] = 1  # along which no head looks
    bias = torch.tensor([0.0, 0.0, 0.0, -9.0, 0.0])
    return SparseAutoencoder(
        encoder_weight=encoder, encoder_bias=bias, decoder_weight=decoder,
        threshold=torch.tensor(0.02), activation_mean=torch.zeros(WIDTH),
        activation_std=torch.tensor(2.0),
    )  # fmt: skip


def painted(folder, count, seed, masks=False):
    """Images of `count` per class, with the index: patches of the class's colour on grey ones.

    masks: images of patches of all colours instead, whose masks say which (grey: unlabelled).
    """
    random, records = np.random.default_rng(seed), []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count * len(CLASSES)):
        label = number % len(CLASSES)
        kinds = np.where(random.random(GRID) < 0.5, label, 3)
        kinds.flat[random.integers(kinds.size)] = label
        if masks:
            kinds = random.integers(0, 4, GRID)
        strength = random.uniform(0.7, 1, (*GRID, 1))
        pixels = (COLOURS[kinds] * strength).astype(np.uint8)
        name = f"image-{seed}-{number:03d}"
        whole = pixels.repeat(PATCH, axis=0).repeat(PATCH, axis=1)
        Image.fromarray(whole).save(folder / f"{name}.png")
        mask = ""
        if masks:
            mask = f"{name}-mask.png"
            values = np.where(kinds == 3, 0, kinds + 1).astype(np.uint8)
            Image.fromarray(values.repeat(PATCH, axis=0).repeat(PATCH, axis=1)).save(folder / mask)
        own = (-1, "") if masks else (label, CLASSES[label])
        records.append(ImageRecord(name, f"{name}.png", *own, mask))
    classes = tuple(ClassRecord(label, name) for label, name in enumerate(CLASSES))
    return ImageIndex(tuple(records), classes)


SETTINGS = {
    "heads": None,
    "strengths": [1, 2],
    "patches": None,
    "classes": 5,
    "train_images": 99,
    "images": 30,
    "seeds": 2,
    "shown": 2,
}
