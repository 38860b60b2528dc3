"""MAE: three quarters of the patches are hidden and rebuilt from the rest by a light decoder.

Source: He et al. 2022. The encoder sees the visible patches only, in raster order and with the
position embeddings of where they lie; the loss is the mean squared error of the hidden patches'
pixels. These are predicted as they are (Table 1d, "pixel (w/o norm)") and not normalised per patch,
as for the released weights: normalised patches say nothing of brightness and colour, and after as
few steps as here a backbone that learned from them is below its own initialisation
(docs/findings.md).
"""

import torch
from torch import nn

from visae.pretraining.towers import last_tokens, only_patches, take
from visae.pretraining.training import Objective
from visae.pretraining.views import network_input, random_views

MASKED = 0.75
DECODER_WIDTH = 64
DECODER_HEADS = 2


class Mae(Objective):
    """A backbone and a decoder of one transformer block."""

    positions_pd: torch.Tensor

    def __init__(self, backbone, classes, settings):
        super().__init__(backbone, settings)
        rows, columns = backbone.grid
        self.patches = rows * columns
        self.patch_size = backbone.patch
        self.visible = round(self.patches * (1 - MASKED))
        self.enter = nn.Sequential(
            nn.LayerNorm(backbone.width), nn.Linear(backbone.width, DECODER_WIDTH)
        )
        self.mask_token = nn.Parameter(torch.randn(DECODER_WIDTH) * 0.02)
        self.register_buffer("positions_pd", sine_positions(backbone.grid, DECODER_WIDTH))
        self.decoder = nn.TransformerEncoderLayer(
            DECODER_WIDTH,
            DECODER_HEADS,
            4 * DECODER_WIDTH,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.leave = nn.Sequential(
            nn.LayerNorm(DECODER_WIDTH), nn.Linear(DECODER_WIDTH, 3 * self.patch_size**2)
        )

    def loss(self, images_b3hw, labels_b, generator):
        views = random_views(images_b3hw, images_b3hw.shape[-2:], generator)
        images = network_input(self.backbone, views)
        visible_bk, hidden_bm = self.choose(len(images), generator, images.device)
        with only_patches(self.backbone, visible_bk):
            encoded = last_tokens(self.backbone, images)[:, self.backbone.prefix_tokens :]
        predicted = self.decode(encoded, visible_bk, hidden_bm)
        return nn.functional.mse_loss(predicted, self.targets(images, hidden_bm)), {}

    def choose(self, batch, generator, device):
        """Raster positions of the visible [B, K] and of the hidden patches [B, M], ascending."""
        order = torch.rand(batch, self.patches, generator=generator).argsort(dim=1)
        parts = order.split([self.visible, self.patches - self.visible], dim=1)
        return [part.sort(dim=1).values.to(device) for part in parts]

    def decode(self, encoded_bkd, visible_bk, hidden_bm):
        """Predicted pixels of the hidden patches: [B, M, 3·patch²]."""
        # The mask token wherever no encoded patch is put.
        tokens = self.mask_token.repeat(len(encoded_bkd), self.patches, 1)
        index = visible_bk[:, :, None].expand(-1, -1, DECODER_WIDTH)
        tokens = tokens.scatter(1, index, self.enter(encoded_bkd)) + self.positions_pd
        return self.leave(take(self.decoder(tokens), hidden_bm))

    def targets(self, images_b3hw, hidden_bm):
        """Pixels of the hidden patches of normalised images: as `decode`."""
        size = self.patch_size
        pixels_bpd = nn.functional.unfold(images_b3hw, size, stride=size).transpose(1, 2)
        return take(pixels_bpd, hidden_bm)


def sine_positions(grid, width):
    """Fixed embeddings of the patches of a (H, W) grid: float32 [P, width].

    A quarter of the width each for the sines and cosines of the row and of the column.
    """
    frequencies = 100.0 ** -torch.linspace(0, 1, width // 4)
    row, column = torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij")
    angles = [place.reshape(-1, 1) * frequencies for place in (row, column)]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], dim=1)


OBJECTIVE = Mae
