"""What a backbone must show before any of its activations are cached.

Moran's I measures where in an image a feature is active, so a wrong patch order silently
becomes a scientific result: a shuffled grid looks like a backbone without spatial structure.
"""

import numpy as np
import torch

from visae.errors import UserError

PROBED_PATCHES = 64  # patches changed one at a time
SQUARES = 3  # the bright square visits SQUARES × SQUARES places
# Mean rank, among all patches, of the response of those under the square: 0.5 by chance, with a
# standard deviation of 0.03 for a 14×14 grid. Deep blocks may answer outside the square more
# than inside (saturation, attention to the rest), which tells places apart just as well.
LEAST_DISTANCE_FROM_CHANCE = 0.1


def check_backbone(backbone, layer):
    """Refuse a backbone whose patch tokens at block `layer` cannot be trusted.

    Two passes over the same images agree and are finite; a change inside one patch changes that
    patch's token most before the first block (raster order, prefix tokens where expected); and a
    bright square moved across the image moves the response of block `layer` across the grid (more
    of it under the square, or less).

    Raises:
        UserError: naming the backbone and what it failed.
    """
    images_b3hw, covered_bp = _moving_square(backbone)
    first = backbone.patch_tokens(images_b3hw, layer)
    second = backbone.patch_tokens(images_b3hw[:2], layer)
    if not torch.isfinite(first).all():
        raise _failure(backbone, f"puts out NaN or infinity at block {layer}", "check its weights")
    spread = (first - first.mean(dim=(0, 1))).square().mean().sqrt()
    if (first[:2] - second).abs().max() > 1e-3 * spread:
        raise _failure(
            backbone,
            f"answers differently to the same images at block {layer}",
            "it draws random numbers in its forward pass and needs a loader that stops this",
        )
    check_raster_order(backbone)
    response_bp = (first[1:] - first[0]).norm(dim=2).cpu().numpy()
    rank_bp = response_bp.argsort(1).argsort(1) / (response_bp.shape[1] - 1)
    # The ranks of the covered patches among all, on the scale of an area under the ROC curve.
    share = covered_bp.mean()
    rank = (rank_bp[covered_bp].mean() - share / 2) / (1 - share)
    if abs(rank - 0.5) < LEAST_DISTANCE_FROM_CHANCE:
        raise _failure(
            backbone,
            f"does not respond to where a bright square is at block {layer} (mean rank of the "
            f"patches under it {rank:.2f}, chance 0.5)",
            "its patch tokens are not in raster order, or its weights carry no image content",
        )


def _moving_square(backbone):
    """A grey image and the same with a bright square at several places, as network input.

    Returns images [1 + S, 3, H, W] and, for each square, the patches under it: bool [S, P].
    """
    rows, columns = backbone.grid
    patch = backbone.transform.crop // rows
    side = max(1, rows // SQUARES)
    starts = np.linspace(0, rows - side, min(SQUARES, rows)).round().astype(int)
    places = [(top, left) for top in starts for left in starts]
    pixels = torch.full((1 + len(places), 3, rows * patch, columns * patch), 96, dtype=torch.uint8)
    covered = np.zeros((len(places), rows, columns), bool)
    for number, (top, left) in enumerate(places):
        covered[number, top : top + side, left : left + side] = True
        y, x = top * patch, left * patch
        pixels[1 + number, :, y : y + side * patch, x : x + side * patch] = 255
    device = next(backbone.parameters()).device
    return backbone.normalise(pixels.to(device)), covered.reshape(len(places), -1)


def check_raster_order(backbone):
    """Refuse a backbone that does not turn patch p into token p after the prefix tokens.

    Looks at what enters block 0, where no token has yet seen another: a change confined to one
    patch must change that patch's token most.
    """
    rows, columns = backbone.grid
    patch = backbone.transform.crop // rows
    device = next(backbone.parameters()).device
    generator = np.random.default_rng(0)
    plain = generator.integers(0, 256, (3, rows * patch, columns * patch), dtype=np.uint8)

    def embed(pixels):
        images = backbone.normalise(torch.from_numpy(pixels[None]).to(device))
        return backbone.embedded_tokens(images)[0]

    reference = embed(plain)
    for number in generator.permutation(rows * columns)[:PROBED_PATCHES].tolist():
        y, x = (index * patch for index in divmod(number, columns))
        changed = plain.copy()
        changed[:, y : y + patch, x : x + patch] ^= 255
        token = int((embed(changed) - reference).norm(dim=1).argmax())
        if token != backbone.prefix_tokens + number:
            raise _failure(
                backbone,
                f"holds patch {number} in token {token} instead of "
                f"{backbone.prefix_tokens + number}",
                "its tokens are not in raster order, or its prefix tokens come elsewhere",
            )


def _failure(backbone, what, cure):
    return UserError(
        f"Backbone '{backbone.spec.name}' ({backbone.spec.model}) {what}: {cure}; nothing was "
        "extracted."
    )
