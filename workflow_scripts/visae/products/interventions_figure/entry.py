"""What edits of features change of their class against what they change besides."""

from visae.products.product import Product
from visae.products.sources import counted, edited_saes, labels, tables
from visae.study import roles


def _over(study):
    return f"n = {counted(len(roles.edited(study)), 'SAE')}; a panel for each data set and head."


ENTRY = Product(
    kind="figure",
    shows="what edits of features change of their class, against what they change besides",
    reads=lambda study, paths: tables(paths, "interventions_table"),
    settings=lambda study: {"labels": labels(study)},
    needs=(edited_saes,),
    over=_over,
)
