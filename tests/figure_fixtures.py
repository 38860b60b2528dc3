"""What every figure owes its reader, checked on the figure as it is laid out."""

from itertools import combinations

from matplotlib.text import Text

from visae.figures import style

LABELS = {"dinov2": "DINOv2", "clip": "CLIP", "siglip": "SigLIP", "deit": "DeiT", "mae": "MAE"}
STYLES = style.backbone_styles(LABELS)


def texts(figure):
    """All that is written in a figure."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def assert_labels_are_apart(name, figure):
    """No label covers another or leaves the page."""
    figure.draw_without_rendering()
    labels = [
        (text.get_text(), Text.get_window_extent(text))  # of an annotation without its leader
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text.get_rotation() % 90 == 0
    ]
    shown = [(text, box) for text, box in labels if _in_an_axis_that_is_drawn(text, figure)]
    page = figure.bbox
    for text, box in shown:
        assert page.x0 - 1 <= box.x0, (name, text)
        assert box.x1 <= page.x1 + 1, (name, text)
        assert page.y0 - 1 <= box.y0, (name, text)
        assert box.y1 <= page.y1 + 1, (name, text)
    for (text, box), (other_text, other) in combinations(shown, 2):
        across = min(box.x1, other.x1) - max(box.x0, other.x0)
        along = min(box.y1, other.y1) - max(box.y0, other.y0)
        assert min(across, along) < 2, (name, text, other_text)


def assert_fits_and_counts(name, figure):
    """It fits a page, its letters can be read, and it says how many it is about."""
    assert figure.get_figwidth() <= style.PAGE_WIDTH + 1e-9, name
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
    assert min(sizes) >= style.SMALL, name
    assert any("n = " in text for text in texts(figure)), name


def _in_an_axis_that_is_drawn(text, figure):
    """Ticks outside an axis' limits, and those of a switched-off axis, are not drawn."""
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            low, high = sorted((low, high))
            for tick in axis.get_major_ticks():
                for tick_label in (tick.label1, tick.label2):
                    drawn = axes.axison and low <= tick.get_loc() <= high
                    if tick_label.get_text() == text and not drawn:
                        return False
    return True
