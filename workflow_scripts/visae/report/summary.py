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


class Best(NamedTuple):
    """The SAEs with the best headline of one metric, as far as its printed decimals tell."""

    metric: str
    value: str
    higher_is_better: bool
    saes: list


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
    best: list
    parts: list
    generated: bool


def summarise(study, views, table_3, published):
    """The `Summary` of a study.

    views: those of `visae.report.saes`. table_3: its rows. published: the paper's numbers, none
    where its claims are not judged.
    """
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
        best=_best(views),
        parts=_parts(study) if roles.judged(study) else [],
        generated=any(entry["generated"] for entry in used),
    )


def _best(views):
    """The `Best` of every metric that any SAE has."""
    scored = [
        (score, view) for view in views for score in view.scores if score.cell.sort is not None
    ]
    best = []
    for metric in dict.fromkeys(score.metric for score, _ in scored):
        of_metric = [(score, view) for score, view in scored if score.metric == metric]
        higher = of_metric[0][0].higher_is_better
        choose = max if higher else min
        found, _ = choose(of_metric, key=lambda item: item[0].cell.sort)
        equal = [view for score, view in of_metric if score.cell.text == found.cell.text]
        best.append(Best(metric, found.cell.text, higher, equal))
    return best


def _parts(study):
    """[(the paper's part, who plays it here), …]."""
    played = roles.Roles.of(study)
    sweeps = (
        ("the 60 SAEs", played.main),
        ("JumpReLU", played.jumprelu),
        ("the early layer", played.early),
    )
    return [
        *((paper, study.backbones[own]["label"]) for own, paper in played.backbones.items()),
        *((paper, f"sweep {own}") for paper, own in sweeps if own),
        *((paper, own) for own, paper in played.tasks.items()),
    ]


def _grid(sweep):
    factors = sorted({spec.expansion_factor for spec in sweep.saes})
    sparsities = sorted({spec.sparsity for spec in sweep.saes if spec.sparsity is not None})
    joined = [", ".join(f"{value:g}" for value in values) for values in (factors, sparsities)]
    return f"expansion factors {joined[0]}; sparsity {joined[1] or 'unknown'}"


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
