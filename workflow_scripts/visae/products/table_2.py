"""Table 2: what each metric computes, with the settings of the study."""

from visae.products.product import Product


def _settings(study):
    return {key: study.config[key] for key in ("metrics", "evaluation", "seed")}


ENTRY = Product(
    kind="table",
    shows="what each metric computes",
    settings=_settings,
)


def make(inputs, settings):
    from visae.tables.settings import table_2

    return table_2(settings)
