"""Figure 5: what features of typical and of high Moran's I look like, by backbone (Appendix H)."""

import numpy as np
from matplotlib.colors import to_rgb

from visae.figures import style

_OVERLAY = "#E69F00"
_STRONGEST = 0.75  # opacity of the overlay where the feature is at its maximum
_GAP = 0.04  # between images, of their width
_DIMMED = 0.6  # brightness left to what the feature does not respond to


@style.styled
def draw(examples, styles, columns=2):
    """A column per backbone and a block of images per feature.

    `examples` is a list of {`backbone`, `kind` (name of the feature's row), `feature` (index),
    `moran` (its mean Moran's I), `images` uint8 [n, h, w, 3], `maps` float [n, H, W]}: its top
    images and its codes on their patches. Each map is scaled by its own maximum.
    """
    backbones = [b for b in styles if any(example["backbone"] == b for example in examples)]
    kinds = list(dict.fromkeys(example["kind"] for example in examples))
    cells = {(example["kind"], example["backbone"]): example for example in examples}
    rows = max(-(-len(example["images"]) // columns) for example in examples)
    side = style.PAGE_WIDTH / max(len(backbones), 3)
    figure = style.new_figure(side * len(backbones), len(kinds) * (side / columns * rows + 0.35))
    grid = figure.subplots(len(kinds), len(backbones), squeeze=False)
    for i, kind in enumerate(kinds):
        for axes, backbone in zip(grid[i], backbones, strict=True):
            example = cells.get((kind, backbone))
            axes.set_axis_off()
            if example is not None:
                axes.imshow(mosaic(example, columns), interpolation="nearest")
            axes.set_title(_title(example, styles[backbone] if i == 0 else None, kind),
                           fontsize=style.SMALL, color=styles[backbone].color)  # fmt: skip
    return figure


def mosaic(example, columns):
    """The overlaid images of an example side by side on white, float [h', w', 3] in 0 … 1."""
    tiles = [overlaid(*pair) for pair in zip(example["images"], example["maps"], strict=True)]
    height, width = tiles[0].shape[:2]
    gap = max(1, round(_GAP * width))
    rows = -(-len(tiles) // columns)
    whole = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3))
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        top, left = row * (height + gap), column * (width + gap)
        whole[top : top + height, left : left + width] = tile
    return whole


def overlaid(image, map_hw):
    """`image` uint8 [h, w, 3], dimmed where `map_hw` [H, W] is 0 and tinted where it is high.

    Patches are drawn as the squares they are; h and w need not be multiples of H and W.
    """
    height, width = image.shape[:2]
    rows = np.arange(height) * map_hw.shape[0] // height
    columns = np.arange(width) * map_hw.shape[1] // width
    largest = map_hw.max()
    share = map_hw / largest if largest > 0 else np.zeros_like(map_hw, dtype=float)
    share = np.clip(share, 0, 1)[rows][:, columns, None]
    active = share > 0
    base = image / 255 * np.where(active, 1, _DIMMED)
    opacity = _STRONGEST * share
    return (1 - opacity) * base + opacity * np.array(to_rgb(_OVERLAY))


def _title(example, look, kind):
    lines = [look.label] if look else []
    if example is None:
        return "\n".join([*lines, f"{kind}: none evaluable"])
    moran = f"{example['moran']:.3f}".replace("-", "−")
    lines.append(f"{kind}, n = {len(example['images'])}")
    lines.append(f"feature {example['feature']}, I = {moran}")
    return "\n".join(lines)
