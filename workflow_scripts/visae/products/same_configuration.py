"""How far SAEs of one configuration on the same activations lie apart."""

from visae.products.product import Product
from visae.products.sources import same_configuration

ENTRY = Product(
    kind="table",
    shows="how far SAEs of one configuration lie apart",
    reads=lambda study, paths: {"scores": paths.scores()},
    needs=(same_configuration,),
)


def make(inputs, settings):
    from visae.tables.same_configuration import same_configuration
    from visae.tables.scores import read_scores

    return same_configuration(read_scores(inputs["scores"]))
