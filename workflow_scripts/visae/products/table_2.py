"""Table 2: what each metric computes, with the settings of the study."""

from visae.evals.sections import computed, settings_of
from visae.evals.shelf import EVALS
from visae.products.product import Product


def _settings(study):
    """What the metrics' entries say of the config."""
    config = study.config
    return {
        "split": study.evaluation.name,
        "protocols": {
            EVALS[name].title: EVALS[name].protocol(config, settings_of(name, config))
            for name in computed(config)
        },
    }


ENTRY = Product(
    kind="table",
    shows="what each metric computes",
    settings=_settings,
)


def make(inputs, settings):
    from visae.tables.settings import table_2

    return table_2(**settings)
