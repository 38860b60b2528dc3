"""One look for all figures: column widths, a colour and a marker per backbone, exact files.

Colours are those of Okabe and Ito, which stay apart for colour-blind readers; every backbone
also has its own marker, and figures label lines and rows directly rather than in legends.
"""

import functools
import io
import itertools
from typing import Any, NamedTuple

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from visae.base.files import atomic_path
from visae.base.seals import made_of, write_beside
from visae.figures import FORMAT

COLUMN_WIDTH = 3.3
PAGE_WIDTH = 6.9
"""Inches: one column and both columns of a page."""

INK = "#222222"
MUTED = "#6b6b6b"
FAINT = "#d9d9d9"

VARIANCE_COLORS = {
    "backbone": "#0072B2",
    "seed": "#8CC0E0",
    "configuration": "#E69F00",
    "residual": "#C9C9C9",
}
"""What a metric's variance is made of."""

DIVERGING = LinearSegmentedColormap.from_list(
    "agreement", ["#C1541B", "#F0B48C", "#F7F7F7", "#8DBFE0", "#0A5C96"]
)
"""Of ρ: −1 to 1."""

SMALL = 6.0
"""Points: annotations. The smallest size that is used."""

_MARGIN = 0.03  # inches around what leaves a page
_LABEL_GAP = 9.0  # points between the centres of neighbouring line labels

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.0,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.0,
    "pdf.fonttype": 42,  # text stays text
    "figure.dpi": 100,
    "savefig.dpi": 300,
}

# The paper's five keep their colours whatever the config's order; text in these colours has a
# contrast of 3:1 or more on white.
_PAPER = {
    "dinov2": ("#0072B2", "o"),
    "clip": ("#D55E00", "s"),
    "siglip": ("#B8860B", "D"),
    "deit": ("#009E73", "^"),
    "mae": ("#A8518A", "v"),
}
_OTHER_COLORS = ("#3D9BD1", "#222222", "#882255", "#6B7F1A", "#5B4FB0", "#8C564B", "#7A7A7A")
_OTHER_MARKERS = ("P", "X", "p", "h", "<", ">", "*", "d", "8")


class BackboneStyle(NamedTuple):
    """How one backbone looks in every figure."""

    label: str
    color: str
    marker: str


def backbone_styles(labels, chosen=None):
    """Styles by name for {name: label} of all the config's backbones, in its order.

    chosen: only these of them; their styles are the same as in every other figure.

    The paper's five (`dinov2`, `clip`, `siglip`, `deit`, `mae`) have fixed colours and markers;
    others take the next free ones, which repeat, out of step, when there are more than seven.
    """
    others = zip(itertools.cycle(_OTHER_COLORS), itertools.cycle(_OTHER_MARKERS), strict=False)
    styles = {
        name: BackboneStyle(label, *(_PAPER[name] if name in _PAPER else next(others)))
        for name, label in labels.items()
    }
    return styles if chosen is None else {name: styles[name] for name in chosen}


def tint(color, share):
    """`color` mixed with white: 1 is the colour itself, 0 is white."""
    red, green, blue = (1 - share * (1 - channel) for channel in to_rgb(color))
    return red, green, blue


def grades(values):
    """The distinct values of something that lines and points are told apart by; None is none."""
    return sorted({value for value in values if value is not None})


def grade(value, known):
    """How far up `known`, from `grades`, a value stands: 1 at the end, and where it is none."""
    return (known.index(value) + 1) / len(known) if value in known else 1.0


def styled(draw):
    """Decorator: run a drawing function under this module's settings."""

    @functools.wraps(draw)
    def wrapper(*arguments, **options):
        with matplotlib.rc_context(_SETTINGS):
            return draw(*arguments, **options)

    return wrapper


def new_figure(width, height):
    """An empty figure of `width` × `height` inches, apart from pyplot's global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def spread(positions, gap, low, high):
    """Move label positions apart until neighbours are at least `gap` apart, within [low, high].

    Their order is kept and they stay as near to where they were as they can (least squares, by
    pooling neighbours that collide). Labels that do not fit are spaced evenly.
    """
    gap = min(gap, (high - low) / max(len(positions) - 1, 1))
    highest = high - gap * (len(positions) - 1)
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    blocks = []  # (sum of position − rank · gap, size)
    for rank, index in enumerate(order):
        blocks.append((positions[index] - rank * gap, 1))
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, size = blocks.pop()
            blocks[-1] = (blocks[-1][0] + total, blocks[-1][1] + size)
    moved = [min(max(total / size, low), highest) for total, size in blocks for _ in range(size)]
    result = [0.0] * len(positions)
    for rank, index in enumerate(order):
        result[index] = moved[rank] + rank * gap
    return result


def label_right(axes, ends, styles):
    """Name lines at the right edge of `axes`, moved apart where they would overlap.

    `ends` maps a backbone to the last point (x, y) of its line, in data units. Call it when all
    else is drawn; a thin leader joins a label to its line's end.
    """
    axes.figure.draw_without_rendering()  # lays out the axes, whose height is needed
    height = axes.get_window_extent().height * 72 / axes.figure.dpi
    low, high = axes.get_ylim()
    shares = [(y - low) / (high - low) for _, y in ends.values()]
    places = spread(shares, _LABEL_GAP / height, 0.0, 1.0)
    for (backbone, end), place in zip(ends.items(), places, strict=True):
        look = styles[backbone]
        axes.annotate(
            look.label, end, xytext=(1.05, place), textcoords="axes fraction", color=look.color,
            fontsize=7, va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": look.color, "linewidth": 0.4,
                        "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip


def name_list(backbones, styles):
    """Backbone names for a note: "MAE, CLIP"."""
    return ", ".join(styles[backbone].label for backbone in backbones)


def _page(figure):
    """The box in inches that holds all of a laid out figure; None where its own page does.

    Labels of one's own may be longer than what the layout can give them: the page grows then.
    They are measured as finely as they are drawn; a coarse grid makes letters narrower.
    """
    coarse, figure.dpi = figure.dpi, matplotlib.rcParams["savefig.dpi"]
    whole = figure.get_tightbbox().frozen()
    figure.dpi = coarse
    own = figure.bbox_inches.frozen()
    grown = Bbox.union([own, whole.padded(_MARGIN)])
    cut = max(abs(grown.min - own.min).max(), abs(grown.max - own.max).max())
    return grown if cut > _MARGIN else None


@styled
def write(figure, paths, inputs=()):
    """Write `figure` to `paths["pdf"]` and `paths["png"]`, without dates and versions.

    Equal figures give equal bytes. inputs: the files that it was made of.
    """
    # Laid out once: another pass would move things by a hair, and differently per format.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    page = _page(figure)
    with atomic_path(paths["pdf"]) as temporary:
        figure.savefig(
            temporary,
            format="pdf",
            metadata={"CreationDate": None, "Producer": None, "Creator": None},
            bbox_inches=page,
        )
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None}, bbox_inches=page)
    write_beside(paths["png"], FORMAT, png.getvalue(), made_of(paths["png"], inputs))
