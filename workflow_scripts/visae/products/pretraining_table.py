"""What the study's own pretraining brought, backbone by backbone."""

from visae.products.product import Product
from visae.products.sources import own_pretraining, paths_of_studies


def _reads(study, paths):
    return {
        "sanity": [
            own.pretraining(backbone, "sanity.json")
            for own in paths_of_studies(study, paths)
            for backbone in study.pretrained()
        ]
    }


ENTRY = Product(
    kind="table",
    shows="what pretraining brought, backbone by backbone",
    reads=_reads,
    needs=(own_pretraining,),
)


def make(inputs, settings):
    from visae.tables.pretraining import pretraining_table

    return pretraining_table(inputs["sanity"])
