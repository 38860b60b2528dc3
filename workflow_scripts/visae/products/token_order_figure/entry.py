"""The control of M1: patches in raster order, permuted, and as published for MAE."""

from visae.products.product import Product
from visae.products.sources import counted, labels, tables, token_order_control
from visae.study import roles


def _over(study):
    arms = {backbone for pair in roles.control_arms(study) for backbone in pair}
    return f"n = {counted(len(arms), 'SAE')}, one per arm."


ENTRY = Product(
    kind="figure",
    shows="what M1 reads when the order of the patches is lost",
    reads=lambda study, paths: tables(paths, "token_order_table"),
    settings=lambda study: {"labels": labels(study)},
    needs=(token_order_control,),
    over=_over,
)
