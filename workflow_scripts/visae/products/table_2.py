"""Table 2: what each metric computes, with the settings of the study."""

from visae.evals.sections import computed, settings_of
from visae.evals.shelf import EVALS
from visae.products.product import Product


def _settings(study):
    """The config, and what the metrics' entries say of it: the table follows both."""
    config = {
        key: study.config[key] for key in ("metrics", "downstream", "sweeps", "evaluation", "seed")
    }
    said = {m: EVALS[m].protocol(config, settings_of(m, config)) for m in computed(config)}
    return {"config": config, "said": said}


ENTRY = Product(
    kind="table",
    shows="what each metric computes",
    settings=_settings,
)


def make(inputs, settings):
    from visae.tables.settings import table_2

    return table_2(settings["config"])
