"""What the settings of the paper's public code change, one at a time (docs/as_run.md)."""

from visae.products.product import Product
from visae.products.sources import metrics, over_main, studies, switches, tables


def _over(study):
    return (
        f"{over_main(study)[:-1]}, in {len(studies(study))} studies: {', '.join(studies(study))}."
    )


ENTRY = Product(
    kind="figure",
    shows="what the settings of the paper's public code change, one at a time",
    reads=lambda study, paths: tables(paths, "as_run_table"),
    settings=metrics,
    needs=(switches,),
    over=_over,
)
