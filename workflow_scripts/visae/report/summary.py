"""What stands at the top of the page: what the study is, and what it found."""

from typing import NamedTuple

from visae.evals.shelf import EVALS
from visae.report.cells import gap
from visae.study import roles

LARGE_SHARE = 0.6
"""The share of variance that the paper's abstract counts ("over 60 %")."""

SOURCES = (
    ("backbone", "backbone"),
    ("configuration", "hyperparameters"),
    ("residual", "residual"),
)
"""Column of Table 3 → what it is called."""


class VarianceBar(NamedTuple):
    """The variance shares of one metric; `published` is the paper's share of the backbone."""

    metric: str
    parts: list
    reason: str | None
    published: float | None


class Summary(NamedTuple):
    """What the headline says, in numbers."""

    backbones: list
    sweeps: list
    main: object
    grid: str
    saes: int
    main_saes: int
    large: list
    metrics: int
    bars: list
    generated: bool


def summarise(study, table_3, published):
    """The `Summary` of a study; table_3: its rows; published: the paper's numbers."""
    bars = [_bar(row, published) for row in table_3]
    main, config = roles.main(study), study.config
    used = [config["datasets"][split.dataset] for split in (study.training, study.evaluation)]
    return Summary(
        backbones=[
            (study.backbones[name]["label"], study.backbones[name]["paradigm"])
            for name in main.backbones
        ],
        sweeps=list(study.sweeps.values()),
        main=main,
        grid=_grid(main),
        saes=len(study.saes()),
        main_saes=len(main.backbones) * len(main.saes),
        large=sorted(bar.metric for bar in bars if bar.parts and bar.parts[0][1] > LARGE_SHARE),
        metrics=sum(bool(bar.parts) for bar in bars),
        bars=bars,
        generated=any(entry["generated"] for entry in used),
    )


def _grid(sweep):
    factors = sorted({spec.expansion_factor for spec in sweep.saes})
    sparsities = sorted({spec.sparsity for spec in sweep.saes})
    joined = [", ".join(f"{value:g}" for value in values) for values in (factors, sparsities)]
    return f"expansion factors {joined[0]}; sparsity {joined[1]}"


def _bar(row, published):
    metric = row["metric"]
    shares = [(name, row[f"eta2_{source}"]) for source, name in SOURCES]
    known = None not in dict(shares).values()
    entry = published.get(f"table_3/{metric}/eta2_backbone")
    return VarianceBar(
        metric=EVALS[metric].title,
        parts=[(name, share, f"{share:.2f}") for name, share in shares] if known else [],
        reason=None if known else gap(row["reason"]).reason,
        published=None if entry is None else entry.value,
    )
