"""SAEs of one's own on the study's curves over L0, metric by metric."""

from visae.products.product import Product
from visae.products.sources import labels, metrics, own_saes, sweeps_of_own, tables

ENTRY = Product(
    kind="figure",
    shows="SAEs of your own on the study's curves over L0",
    reads=lambda study, paths: {
        **tables(paths, "own_saes_table"),
        "scores": paths.scores(),
    },
    settings=lambda study: {**metrics(study), "labels": labels(study), **sweeps_of_own(study)},
    needs=(own_saes,),
    over=lambda study: f"{sum(len(s.saes) for s in study.sweeps.values() if s.folders)} own SAEs.",
)
