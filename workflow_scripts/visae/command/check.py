"""Everything that is wrong with a config at once, before anything runs."""

from pathlib import Path

from visae.base.errors import UserError
from visae.images.layouts import LAYOUTS
from visae.study import checks, config
from visae.study.config_files import located, read_config
from visae.study.study import Study


def problems(paths):
    """What is wrong with the config in some files: a list of sentences, empty if nothing is.

    Several are merged as `--configfile` merges them.

    Where the file does not follow the schema, only that is said: what the parts of a study are to
    each other cannot be known before. Data sets are looked for, and nothing in them is opened.
    """
    from snakemake.utils import update_config

    try:
        given = {}
        for path in paths:
            update_config(given, read_config(path))
        found = config.problems(given) or _of_parts(Study(given, check=False))
    except UserError as error:
        found = [str(error)]
    return [located(sentence, paths) for sentence in found]


def _of_parts(study):
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
    from visae.backbones.measuring import measured
    from visae.plan.feasible import check_training
    from visae.plan.images import count_images

    try:
        geometries = geometry.complete(study.backbones, study.paths.plan("geometry.json"), measured)
        check_training(study, geometries, count_images(study, study.paths.results))
    except UserError as error:
        yield str(error)
