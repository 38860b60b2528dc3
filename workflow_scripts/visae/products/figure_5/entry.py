"""Figure 5: what typical and highly coherent features respond to, by backbone."""

from visae.products.product import Product
from visae.products.sources import counted, looks, metrics_of
from visae.study import roles


def _reads(study, paths):
    name, places = roles.audited(study).name, roles.main(study).places
    return {"examples": [paths.examples(name, place) for place in places]}


def _settings(study):
    return {"sae": roles.audited(study).name, "split": study.evaluation.name, **looks(study)}


def _over(study):
    number = counted(len(roles.main(study).backbones), "SAE")
    return f"n = {number}, {roles.audited(study).name} of each backbone."


ENTRY = Product(
    kind="figure",
    shows="what typical and highly coherent features respond to, by backbone",
    reads=_reads,
    settings=_settings,
    over=_over,
    needs=(metrics_of("localization"),),
)
