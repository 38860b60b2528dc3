"""Everything that is wrong with a config at once, before anything runs."""

from pathlib import Path

import yaml

from visae.base.errors import UserError
from visae.images.layouts import LAYOUTS
from visae.study import checks, config
from visae.study.study import Study


def problems(path):
    """What is wrong with the config file at `path`: a list of sentences, empty if nothing is.

    Where the file does not follow the schema, only that is said: what the parts of a study are to
    each other cannot be known before. Data sets are looked for, and nothing in them is opened.
    """
    try:
        given = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        return [f"{path} is no YAML: {' '.join(str(error).split())}"]
    if not isinstance(given, dict):
        return [f"{path} is no config: it has no keys"]
    if found := config.problems(given):
        return found
    try:
        study = Study(given, check=False)
    except UserError as error:
        return [str(error)]
    return [*checks.problems(study), *_missing_data(study), *_uncertain(study)]


def _missing_data(study):
    for name, entry in study.config["datasets"].items():
        if not entry["generated"] and not Path(entry["root"]).is_dir():
            source = LAYOUTS[entry["layout"]].source
            yield (
                f"config: datasets.{name}.root is {entry['root']!r}, which is no folder; correct "
                f"it, or get the data set from {source}"
            )


def _uncertain(study):
    """Trainings that cannot work, as far as numbers of images are known without an index."""
    from visae.backbones import geometry
    from visae.backbones.measuring import measured_apart
    from visae.plan.feasible import check_training
    from visae.plan.images import count_images

    try:
        geometries = geometry.complete(
            study.backbones, study.paths.plan("geometry.json"), measured_apart
        )
        check_training(study, geometries, count_images(study, study.paths.results))
    except UserError as error:
        yield str(error)
