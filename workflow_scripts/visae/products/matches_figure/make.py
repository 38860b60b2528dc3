"""Share of features with a match above the control: a line for each pair of SAEs."""

from visae.figures import style
from visae.tables.layout import read

PANELS = {"images": "codes pooled over images", "patches": "codes on patches"}


def make(inputs, settings):
    """See `draw`."""
    styles = style.backbone_styles(settings["labels"], settings["backbones"])
    return draw(read(inputs["matches_table"]).rows, styles)


@style.styled
def draw(rows, styles):
    """For each pair the share of either SAE's features with a match; the same of shuffled images.

    `rows` are those of `tables.matches.matches_table`. Pairs are sorted by the smaller share over
    images. A panel of patches is there where one pair is compared on them.
    """
    rows = sorted(rows, key=lambda row: min(row["left_share"], row["right_share"]))
    kinds = [k for k in PANELS if any(row[f"{_prefix(k)}left_share"] is not None for row in rows)]
    figure = style.new_figure(style.PAGE_WIDTH, 1.0 + 0.27 * len(rows))
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for kind, axes in zip(kinds, panels, strict=True):
        for y, row in enumerate(rows):
            _line(axes, y, row, _prefix(kind), styles)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"live features with a match (%):\n{PANELS[kind]}")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.08)
    panels[0].set_yticks(range(len(rows)), [_name(row, styles) for row in rows])
    panels[0].set_ylim(-0.7, len(rows) - 0.3)
    panels[0].annotate(
        "● in either SAE, by its backbone's colour;  | with images shuffled", (0, 1), (0, 2),
        xycoords="axes fraction", textcoords="offset points", va="bottom", fontsize=style.SMALL,
        color=style.MUTED,
    )  # fmt: skip
    return figure


def _prefix(kind):
    return "" if kind == "images" else "patch_"


def _line(axes, y, row, prefix, styles):
    axes.axhline(y, color=style.FAINT, linewidth=0.6, zorder=0)
    if row[f"{prefix}left_share"] is None:
        axes.annotate("grids differ", (0.5, y), xycoords=("axes fraction", "data"), va="center",
                      ha="center", fontsize=style.SMALL, color=style.MUTED,
                      backgroundcolor="white")  # fmt: skip
        return
    shares = [100 * row[f"{prefix}{side}_share"] for side in ("left", "right")]
    axes.plot(shares, [y, y], color=style.MUTED, linewidth=0.9, zorder=1)
    for side, share in zip(("left", "right"), shares, strict=True):
        look = styles[row[f"{side}_backbone"]]
        axes.plot(share, y, marker=look.marker, color=look.color, zorder=3)
    axes.plot(100 * row[f"{prefix}control"], y, marker="|", markersize=7, markeredgewidth=1.2,
              color=style.INK, zorder=2)  # fmt: skip


def _name(row, styles):
    """`DINO – CLIP`; of one backbone what tells its SAEs apart."""
    left, right = (styles[row[f"{side}_backbone"]].label for side in ("left", "right"))
    if row["left_backbone"] != row["right_backbone"]:
        return f"{left} – {right}"
    return f"{left}: {row['left_sae']} – {row['right_sae']}"
