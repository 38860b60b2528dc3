"""Table 3 once more, without masked autoencoders.

The token order of masked autoencoders is easily lost on extraction, and with it what M1 reads: how
much of each metric's variance is due to them alone?
"""

from visae.products.product import Product
from visae.products.sources import (
    main_scores,
    masked_autoencoders,
    masked_backbones,
    several_saes,
    variance_settings,
)

ENTRY = Product(
    kind="table",
    shows="what each metric's variance is made of, without masked autoencoders",
    reads=main_scores,
    settings=lambda study: {**variance_settings(study), "without": masked_backbones(study)},
    needs=(masked_autoencoders, several_saes),
)


def make(inputs, settings):
    from visae.tables.scores import read_scores
    from visae.tables.variance import table_3

    rows = read_scores(inputs["scores"])
    return table_3(rows, settings["sweep"], settings["without"], settings["seed"])
