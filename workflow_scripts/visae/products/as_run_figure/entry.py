"""What the settings of the paper's public code change, one at a time (docs/as_run.md)."""

from visae.products.product import Product
from visae.products.sources import metrics, over_main, studies, switches, tables


def _over(study):
    names = studies(study)
    several = f"{len(names)} studies: {', '.join(names)}"
    return f"{over_main(study)[:-1]}, in {several if len(names) > 1 else f'study {names[0]}'}."


ENTRY = Product(
    kind="figure",
    shows="what the settings of the paper's public code change, one at a time",
    reads=lambda study, paths: tables(paths, "as_run_table"),
    settings=metrics,
    needs=(switches,),
    over=_over,
)
