"""What a backbone must show before any of its activations are cached.

Moran's I measures where in an image a feature is active, so a wrong patch order silently
becomes a scientific result: a shuffled grid looks like a backbone without spatial structure.
"""

import numpy as np
import torch

from visae.backbones.backbone import autocast
from visae.backbones.storage import too_large
from visae.base.errors import UserError

PROBED_PATCHES = 64  # patches changed one at a time
SQUARES = 3  # the bright square visits SQUARES × SQUARES places
LEAST_PLACES_FOUND = 0.5  # share of the squares whose place the tokens tell; by chance 1/9
MOST_OFF = 0.75  # patches, the mean over those that are changed
DISORDERED = "its tokens are not in raster order, or its prefix tokens come elsewhere"
LEAST_CHANGE = 1e-4  # of tokens by all blocks up to the read one, of the norm of what enters
LARGEST_ROUNDING = 0.01  # share of the tokens' variance that storage may take away


def check_backbone(backbone, layer, precision="float32"):
    """Refuse a backbone whose patch tokens at block `layer` cannot be trusted.

    Five checks, in the precision in which activations will be extracted:

    1. Two passes over the same images agree and are finite.
    2. A change inside one patch changes that patch's token most before the first block. This shows
       raster order, and prefix tokens where they are expected.
    3. The tokens of block `layer` tell where in the image a bright square is. Of all places that
       the square visits, the tokens under it stand out most in how they change. We compare
       directions, not norms: in deep blocks every token changes.
    4. The floats that caches store hold the tokens: none is too large, and rounding takes away at
       most LARGEST_ROUNDING of their variance.
    5. The blocks act: what enters block 0 is changed by at least LEAST_CHANGE of its norm.

    Raises:
        UserError: naming the backbone and what it failed.
    """
    images_b3hw, covered_bp = _moving_square(backbone)
    with autocast(precision, images_b3hw.device):
        first = backbone.patch_tokens(images_b3hw, layer)
        second = backbone.patch_tokens(images_b3hw[:2], layer)
    if not torch.isfinite(first).all():
        cure = "check its weights"
        if precision == "float16":
            cure += ", or set `extraction.precision: float32`"
        raise _failure(backbone, f"puts out NaN or infinity at block {layer}", cure)
    _check_storage(backbone, layer, first)
    spread = (first - first.mean(dim=(0, 1))).square().mean().sqrt()
    # Two batch sizes may be computed by two kernels, whose sums are rounded differently.
    allowed = 1e-3 * spread if precision == "float32" else 3e-2 * (spread + second.abs())
    if ((first[:2] - second).abs() > allowed).any():
        raise _failure(
            backbone,
            f"answers differently to the same images at block {layer}",
            "it draws random numbers in its forward pass and needs a loader that stops this",
        )
    _check_blocks_act(backbone, layer, images_b3hw[:1], precision)
    check_raster_order(backbone)
    seen_bpd = directions(first)
    found = places_found(seen_bpd[1:] - seen_bpd[0], covered_bp)
    if found < LEAST_PLACES_FOUND:
        raise _failure(
            backbone,
            f"does not tell where a bright square is at block {layer} (its place stands out for "
            f"{found:.0%} of the squares, by chance for {1 / len(covered_bp):.0%})",
            "its patch tokens are not in raster order, or its weights carry no image content",
        )
    _check_rounding(backbone, layer, first)


def _check_blocks_act(backbone, layer, image_13hw, precision):
    """Refuse blocks that hand tokens through, as those with layer scales near 0 do."""
    with autocast(precision, image_13hw.device):
        entered = backbone.embedded_tokens(image_13hw).float()
        left = backbone.block_output(image_13hw, layer).float()
    if entered.shape != left.shape:
        return
    change = float((left - entered).norm() / entered.norm())
    if change < LEAST_CHANGE:
        raise _failure(
            backbone,
            f"does nothing in its blocks up to {layer}: they change tokens by {change:.1g} of "
            "their norm",
            "its layer scales are near 0, so it is no trained network and no random control; take "
            "other weights, or set `init_values` in its options to 1",
        )


def _check_storage(backbone, layer, tokens_bpd):
    """Refuse tokens that the backbone's storage does not hold, with the settings that would."""
    name, storage = backbone.spec.name, backbone.spec.storage
    stored_bpd = tokens_bpd.to(getattr(torch, storage))
    over = int((~torch.isfinite(stored_bpd)).any(dim=0).any(dim=0).sum())
    if over:
        channel = int(tokens_bpd.abs().amax(dim=(0, 1)).argmax())
        values = tokens_bpd[..., channel].flatten()
        value = float(values[values.abs().argmax()])
        where = f"at block {layer} for images of a bright square"
        said = too_large(name, storage, value, channel, where, over, backbone.width)
        raise UserError(f"{said}; nothing was extracted.")


def _check_rounding(backbone, layer, tokens_bpd):
    """Refuse tokens of which the backbone's storage rounds away more than LARGEST_ROUNDING."""
    name, storage = backbone.spec.name, backbone.spec.storage
    stored_bpd = tokens_bpd.to(getattr(torch, storage)).double()
    # By variance: what is the same for all tokens is taken away when they are normalised.
    lost_d = (stored_bpd - tokens_bpd).flatten(0, 1).var(dim=0)
    share = float(lost_d.sum() / tokens_bpd.double().flatten(0, 1).var(dim=0).sum())
    if share > LARGEST_ROUNDING:
        channel = int(lost_d.argmax())
        largest = float(tokens_bpd[..., channel].abs().max())
        raise _failure(
            backbone,
            f"loses {share:.1%} of its variance at block {layer} where {storage} rounds it, most "
            f"of it in channel {channel}, of values up to {largest:.3g}",
            f"set `backbones.{name}.storage` to float32",
        )


def directions(tokens_bpd):
    """Tokens as unit vectors from their common mean, float64.

    Some ViTs keep a few tokens many times as long as the others, and not in fixed places; as unit
    vectors these say no more of where something is than any other token.
    """
    tokens_bpd = tokens_bpd.double()
    return torch.nn.functional.normalize(tokens_bpd - tokens_bpd.mean(dim=(0, 1)), dim=2)


def places_found(changes_spd, covered_sp):
    """Share of squares whose own patches stand out most, of all squares' patches, by their tokens.

    changes_spd: how each square changes the tokens [S, P, D]. covered_sp: bool [S, P], the patches
    under each square. A place stands out by how far its mean change is from that of all patches.
    """
    apart_spd = changes_spd - changes_spd.mean(dim=1, keepdim=True)
    weights_tp = torch.from_numpy(covered_sp / covered_sp.sum(axis=1, keepdims=True))
    weights_tp = weights_tp.to(apart_spd)
    distance_st = torch.einsum("tp,spd->std", weights_tp, apart_spd).norm(dim=2)
    own = torch.arange(len(distance_st), device=distance_st.device)
    return float((distance_st.argmax(dim=1) == own).double().mean())


def _moving_square(backbone):
    """A grey image and the same with a bright square at several places, as network input.

    Returns images [1 + S, 3, H, W] and, for each square, the patches under it: bool [S, P].
    """
    (rows, columns), patch = backbone.grid, backbone.patch
    side = max(1, min(rows, columns) // SQUARES)
    tops, lefts = (
        np.linspace(0, cells - side, min(SQUARES, cells)).round().astype(int)
        for cells in (rows, columns)
    )
    places = [(top, left) for top in tops for left in lefts]
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
    patch must change that patch's token most. Behind overlapping convolutions it may be a token
    next to it, on the mean by less than MOST_OFF patches in either direction.
    """
    (rows, columns), patch = backbone.grid, backbone.patch
    device = next(backbone.parameters()).device
    generator = np.random.default_rng(0)
    plain = generator.integers(0, 256, (3, rows * patch, columns * patch), dtype=np.uint8)

    def embed(pixels):
        images = backbone.normalise(torch.from_numpy(pixels[None]).to(device))
        return backbone.embedded_tokens(images)[0]

    reference, off = embed(plain), []
    for number in generator.permutation(rows * columns)[:PROBED_PATCHES].tolist():
        place = divmod(number, columns)
        y, x = (index * patch for index in place)
        changed = plain.copy()
        changed[:, y : y + patch, x : x + patch] ^= 255
        token = int((embed(changed) - reference).norm(dim=1).argmax())
        found = divmod(token - backbone.prefix_tokens, columns)
        off.append(np.subtract(found, place))
        if np.abs(off[-1]).max() > (0 if backbone.apart else 1):
            raise _failure(
                backbone,
                f"holds patch {number} in token {token} instead of "
                f"{backbone.prefix_tokens + number}",
                DISORDERED,
            )
    mean = np.mean(off, axis=0)
    if np.abs(mean).max() > MOST_OFF:
        raise _failure(
            backbone,
            f"holds patches {mean[0]:+.1f} rows and {mean[1]:+.1f} columns beside their places",
            DISORDERED,
        )


def _failure(backbone, what, cure):
    return UserError(
        f"Backbone '{backbone.spec.name}' ({backbone.spec.model}) {what}: {cure}; nothing was "
        "extracted."
    )
