"""Training curves of every SAE of the main sweep."""

from visae.products.product import Product
from visae.products.sources import looks, over_main
from visae.study import roles


def _reads(study, paths):
    saes = study.saes(roles.main(study))
    return {"logs": [paths.sae(sae.name, "training.jsonl", sae.place) for sae in saes]}


ENTRY = Product(
    kind="figure",
    shows="loss, L0 and dead features of every SAE in training",
    reads=_reads,
    settings=looks,
    over=over_main,
)
