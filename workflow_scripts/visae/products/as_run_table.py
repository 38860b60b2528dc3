"""What the settings of the paper's public code change, one at a time (docs/as_run.md)."""

import os

from visae.evals.shelf import EVALS
from visae.products.product import Product
from visae.products.sources import on_main, paths_of_studies, studies, switches
from visae.study import roles


def _files(study, paths):
    """The scores of a study's main sweep, and its SAEs, whose logs lie beside the weights."""
    sweep = roles.main(study)
    saes = [paths.sae(sae.name, place=sae.place) for sae in study.saes(sweep)]
    return [paths.scores(sweep.name), *saes]


def _of_arms(study):
    """Arm → study → its files, of the study and its replicates, as far as they were run."""
    own = dict(zip(studies(study), paths_of_studies(study, study.paths), strict=True))
    found = {}
    for arm in study.config["arms"]:
        files = {name: _files(study, paths.of_arm(arm)) for name, paths in own.items()}
        # An arm may have fewer SAEs.
        found[arm] = {
            name: [path for path in paths if os.path.exists(path)]
            for name, paths in files.items()
            if os.path.exists(paths[0])
        }
    return found


def _reads(study, paths):
    own = [file for at in paths_of_studies(study, paths) for file in _files(study, at)]
    of_arms = [f for arm in _of_arms(study).values() for files in arm.values() for f in files]
    return {"files": own, "of_arms": of_arms}


def _settings(study):
    """The names of studies, which of them ran which arm, and what metrics read otherwise."""
    run = {arm: list(files) for arm, files in _of_arms(study).items()}
    switched = {
        name: {
            setting: [getattr(side, "__name__", side) for side in sides]
            for setting, sides in EVALS[name].switches.items()
        }
        for name in roles.main(study).metrics
    }
    return {**on_main(study), "studies": studies(study), "arms": run, "switches": switched}


ENTRY = Product(
    kind="table",
    shows="what the settings of the paper's public code change, one at a time",
    reads=_reads,
    settings=_settings,
    needs=(switches,),
)


def make(inputs, settings):
    from visae.tables.as_run import as_run, read_runs

    names, sweep = settings["studies"], settings["sweep"]
    own = dict(zip(names, read_runs(inputs["files"], sweep), strict=True))
    of_arms = iter(read_runs(inputs.get("of_arms", []), sweep))
    arms = {arm: {name: next(of_arms) for name in ran} for arm, ran in settings["arms"].items()}
    return as_run(own, arms)
