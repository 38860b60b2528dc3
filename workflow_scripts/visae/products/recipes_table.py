"""Ways of training SAEs of one size and L0: FVU, L0, dead features and all metrics of each."""

from visae.products.product import Product
from visae.products.sources import metrics, scores_of, several_recipes
from visae.sae.choices import in_words
from visae.sae.families import FAMILIES
from visae.study import roles


def _reads(study, paths):
    sweeps = [study.sweeps[name] for each in roles.recipes(study) for name in each.sweeps]
    return {"scores": scores_of(paths, *sweeps)}


def _settings(study):
    recipes = [
        {
            "name": each.name,
            "family": FAMILIES[each.family].label,
            "own": in_words(each.own),
            "sweeps": list(each.sweeps),
        }
        for each in roles.recipes(study)
    ]
    return {**metrics(study), "recipes": recipes}


ENTRY = Product(
    kind="table",
    shows="ways of training SAEs of one size and L0",
    reads=_reads,
    settings=_settings,
    needs=(several_recipes,),
)


def make(inputs, settings):
    from visae.tables.recipes import recipes
    from visae.tables.scores import read_scores

    return recipes(read_scores(inputs["scores"]), settings["recipes"], settings["metrics"])
