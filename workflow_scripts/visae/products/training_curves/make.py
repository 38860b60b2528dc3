"""Training curves: loss, L0 and dead features of every SAE, one column per backbone."""

from pathlib import Path

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from visae.figures import style
from visae.sae.folder import CONFIG, read_config, read_log, spec_of

_QUANTITIES = (
    ("loss", "loss (MSE)"),
    ("l0", "L0 (active features)"),
    ("dead_fraction", "dead features (%)"),
)
_UNITS = ((1e6, " (million)"), (1e3, " (thousand)"), (1, ""))
_DASHES = ("-", (0, (3, 1)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 2)))


def make(inputs, settings):
    """See `draw`."""
    styles = style.backbone_styles(settings["labels"], settings["backbones"])
    return draw([_training_run(Path(path)) for path in inputs["logs"]], styles)


def _training_run(path):
    """What `draw` needs of one `saes/{backbone}/layer{layer}/{sae}/training.jsonl`."""
    spec = spec_of(read_config(path.with_name(CONFIG)))
    return {
        "backbone": path.parents[2].name,
        "expansion_factor": spec.expansion_factor,
        "sparsity": spec.sparsity,
        "records": read_log(path),
    }


@style.styled
def draw(runs, styles):
    """Small multiples, rows `loss`, `l0` and `dead_fraction`, columns the backbones.

    `runs` is a list of {`backbone`, `expansion_factor`, `sparsity`, `records`}, with `records` the
    objects of a `training.jsonl`. Darker lines have a larger K, dashes tell the expansion
    factor; both are the same in every column. A value that a record lacks leaves a gap. Columns of
    imported SAEs, whose logs are empty, say that they were not trained here.
    """
    columns = [backbone for backbone in styles if any(r["backbone"] == backbone for r in runs)]
    expansions = sorted({run["expansion_factor"] for run in runs})
    targets = style.grades(run["sparsity"] for run in runs)
    last = max((record["tokens"] for run in runs for record in run["records"]), default=1)
    divisor, unit = next((d, u) for d, u in _UNITS if last >= d)

    width = min(style.PAGE_WIDTH, 0.9 + 1.25 * len(columns))
    figure = style.new_figure(width, 3.9)
    grid = figure.subplots(3, len(columns), sharex=True, sharey="row", squeeze=False)
    for column, backbone in enumerate(columns):
        look = styles[backbone]
        grid[0, column].set_title(look.label, color=look.color)
        own = [run for run in runs if run["backbone"] == backbone]
        for run in own:
            for axes, (quantity, _) in zip(grid[:, column], _QUANTITIES, strict=True):
                axes.plot(
                    [record["tokens"] / divisor for record in run["records"]],
                    [_shown(record, quantity) for record in run["records"]],
                    color=style.tint(look.color, _strength(run["sparsity"], targets)),
                    linestyle=_DASHES[expansions.index(run["expansion_factor"]) % len(_DASHES)],
                    linewidth=0.9,
                )  # fmt: skip
        trained = sum(bool(run["records"]) for run in own)
        grid[0, column].text(
            0.97, 0.95, f"n = {trained}" if trained else "not trained here",
            transform=grid[0, column].transAxes, ha="right", va="top", fontsize=style.SMALL,
            color=style.MUTED,
        )  # fmt: skip
    for axes, (_, label) in zip(grid[:, 0], _QUANTITIES, strict=True):
        axes.set_ylabel(label)
    _log_scale(grid[0], LogLocator(subs=(1, 2, 5)))
    _log_scale(grid[1], FixedLocator(targets))
    grid[2, len(columns) // 2].set_xlabel(f"patch tokens{unit}")
    grid[2, 0].set_ylim(bottom=0)
    grid[2, 0].set_xlim(left=0)
    figure.align_ylabels(grid[:, 0])
    _key(figure, expansions, targets)
    return figure


def _log_scale(row, locator):
    """Logarithmic axes with ordinary numbers (the axes of a row share their scale)."""
    row[0].set_yscale("log")
    row[0].yaxis.set_major_locator(locator)
    row[0].yaxis.set_major_formatter("{x:g}")
    row[0].yaxis.set_minor_locator(NullLocator())


def _shown(record, quantity):
    value = record.get(quantity)
    if value is None:
        return float("nan")
    return 100 * value if quantity == "dead_fraction" else value


def _strength(k, targets):
    """Saturation of a line: 0.4 for the smallest K to 1 for the largest."""
    if len(targets) < 2 or k not in targets:
        return 1.0
    return 0.4 + 0.6 * targets.index(k) / (len(targets) - 1)


def _key(figure, expansions, targets):
    """Greys and dashes explained once, above all panels."""
    handles = [
        Line2D([], [], color=style.tint(style.INK, _strength(k, targets)), label=f"K = {k}")
        for k in targets
    ] + [
        Line2D([], [], color=style.MUTED, linestyle=_DASHES[i % len(_DASHES)], label=f"{e:g}×")
        for i, e in enumerate(expansions)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 8),
                  frameon=False, fontsize=style.SMALL, handlelength=1.8, columnspacing=1.2,
                  handletextpad=0.5)  # fmt: skip
