"""Figure 5: what features of typical and of high Moran's I look like, by backbone (Appendix H)."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, to_rgb

from visae.audit.choice import KINDS
from visae.audit.examples import read_examples
from visae.figures import style

_TINT = np.array(to_rgb("#D55E00"))
_STRONGEST = 0.8  # opacity of the tint where the code is highest
_DARKEST = 0.25  # what black is lightened to, so that the tint is seen on it
_MIDDLE = _DARKEST + (1 - _DARKEST) / 2
_GAP = 0.04  # between images, of their width
_FEWEST = 2  # images that leave room for the name of a row
_MARGIN, _TITLES, _NOTE = 0.25, 0.28, 0.62  # inches: row names; feature names; what is below


def make(inputs, settings):
    """See `draw`."""
    examples = []
    for path in inputs["examples"]:
        about, found = read_examples(path)
        examples += [
            {"backbone": about["backbone"], "kind": kind, **found[kind]}
            for kind in KINDS
            if kind in found
        ]
    styles = style.backbone_styles(settings["labels"], settings["backbones"])
    return draw(examples, styles, settings["sae"], settings["split"])


@style.styled
def draw(examples, styles, sae, split):
    """A column per backbone, a block per feature: its top images, and beside each its codes.

    `examples` is a list of {`backbone`, `kind` (of `KINDS`), `feature` (index), `moran` (its mean
    Moran's I), `images` uint8 [n, h, w, 3], `maps` float [n, H, W]}: its top images of `split` and
    its codes on their patches. `sae` is the name of the SAEs. A feature that is not there is said
    not to be evaluable; where none is at all, the settings are named that decide it.
    """
    if not examples:
        return _without(len(styles), sae, split)
    cells = {(example["kind"], example["backbone"]): example for example in examples}
    images = max((len(example["images"]) for example in examples), default=0)
    side = (style.PAGE_WIDTH - _MARGIN) / max(len(styles), 5)
    height = max(images, _FEWEST) * side / 2
    width = max(_MARGIN + side * len(styles), style.COLUMN_WIDTH)
    figure = style.new_figure(width, len(KINDS) * (_TITLES + height) + _NOTE)
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.02, wspace=0, hspace=0)
    grid = figure.subplots(len(KINDS), len(styles), squeeze=False)
    for row, kind in zip(grid, KINDS, strict=True):
        for axes, (backbone, look) in zip(row, styles.items(), strict=True):
            _block(axes, cells.get((kind, backbone)), height / side)
            if kind == KINDS[0]:
                axes.set_title(look.label, color=look.color, pad=4)
        row[0].set_ylabel(f"{kind} feature")
    _legend(figure, grid)
    figure.supxlabel(
        f"SAEs {sae}; n = {images} images of {split} per feature,\n"
        "those of its largest codes; I: the feature's mean Moran's I",
        fontsize=style.SMALL, color=style.MUTED,
    )  # fmt: skip
    return figure


def _without(backbones, sae, split):
    """The figure of SAEs without any evaluable feature."""
    figure = style.new_figure(style.COLUMN_WIDTH, 0.8)
    figure.text(
        0.5, 0.5,
        f"n = {backbones} SAE{'s' * (backbones > 1)} {sae}: no feature is evaluable for M1.\n"
        f"More images of {split} would help, longer training, or lower values of\n"
        "minimum_images or minimum_active (metrics.localization).",
        ha="center", va="center", fontsize=style.SMALL, color=style.MUTED, linespacing=1.4,
    )  # fmt: skip
    return figure


def _block(axes, example, aspect):
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if example is None:
        axes.set_box_aspect(aspect)
        axes.text(0.5, 0.5, "none evaluable", transform=axes.transAxes, ha="center", va="center",
                  fontsize=style.SMALL, color=style.MUTED)  # fmt: skip
        return
    axes.imshow(mosaic(example), interpolation="nearest")
    axes.set_anchor("N")
    moran = f"{example['moran']:.3f}".replace("-", "−")
    axes.set_xlabel(f"feature {example['feature']}\nI = {moran}", fontsize=style.SMALL, labelpad=2)


def _legend(figure, grid):
    ends = [_tinted(np.full(3, _MIDDLE), share) for share in (0, 1)]
    bar = figure.colorbar(
        ScalarMappable(cmap=LinearSegmentedColormap.from_list("code", ends)), ax=grid,
        location="bottom", aspect=40, shrink=0.3, pad=0.01,
    )  # fmt: skip
    bar.set_ticks([0, 1], labels=["lowest", "highest code in the image"])
    bar.ax.tick_params(length=0, labelsize=style.SMALL)
    bar.outline.set_visible(False)


def mosaic(example):
    """A row per image, on white: the image and its codes; float [h', w', 3] in 0 … 1."""
    height, width = example["images"].shape[1:3]
    gap = max(1, round(_GAP * width))
    count = len(example["images"])
    whole = np.ones((count * (height + gap) - gap, 2 * width + gap, 3))
    for number, (image, map_hw) in enumerate(zip(example["images"], example["maps"], strict=True)):
        rows = slice(number * (height + gap), number * (height + gap) + height)
        whole[rows, :width] = image / 255
        whole[rows, width + gap :] = overlaid(image, map_hw)
    return whole


def overlaid(image, map_hw):
    """`image` uint8 [h, w, 3] in grey, tinted by `map_hw` [H, W] from its lowest to its highest.

    Like Moran's I, the picture does not change when the map is shifted or scaled. Patches are
    drawn as the squares they are; h and w need not be multiples of H and W.
    """
    height, width = image.shape[:2]
    rows = np.arange(height) * map_hw.shape[0] // height
    columns = np.arange(width) * map_hw.shape[1] // width
    low, high = map_hw.min(), map_hw.max()
    share = (map_hw - low) / (high - low) if high > low else np.zeros_like(map_hw, dtype=float)
    grey = image.mean(axis=2, keepdims=True) / 255
    return _tinted(_DARKEST + (1 - _DARKEST) * grey, share[rows][:, columns, None])


def _tinted(grey, share):
    opacity = _STRONGEST * share
    return (1 - opacity) * grey + opacity * _TINT
