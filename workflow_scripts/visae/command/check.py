"""Everything that is wrong with a config at once, before anything runs."""

from pathlib import Path

from visae.base.errors import UserError, refusal
from visae.images.layouts import LAYOUTS
from visae.study import arms, checks
from visae.study.config_files import located, read_config
from visae.study.study import Study, not_made


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
        found = not_made(given) or _of_parts(Study(given, check=False))
    except UserError as error:
        found = [str(error)]
    return [located(sentence, paths) for sentence in found]


def _of_parts(study):
    """A fault is said once, also where several of these come upon it."""
    asked = (checks.problems, arms.problems, _missing_data, _missing_weights, _too_large)
    return list(dict.fromkeys(sentence for ask in asked for sentence in ask(study)))


def _missing_data(study):
    for name, entry in study.config["datasets"].items():
        if not entry["generated"] and not Path(entry["root"]).is_dir():
            source = LAYOUTS[entry["layout"]].source
            yield (
                f"config: datasets.{name}.root is {entry['root']!r}, which is no folder; correct "
                f"it, or get the data set from {source}"
            )


def _missing_weights(study):
    for name in study.backbones:
        yield from refusal(checks.check_weights, study, name)


def _too_large(study):
    """What asks for more than there is, as far as numbers of images are known without an index.

    Nothing where models and sizes are wrong as they stand: measuring them would say so again.
    """
    from visae.backbones.measuring import measured
    from visae.plan import feasible
    from visae.plan.geometries import geometries
    from visae.plan.images import count_images

    if refusal(checks.check_shapes, study):
        return
    try:
        shapes = geometries(study, measured)
    except UserError as error:
        yield str(error)
        return
    yield from feasible.problems(study, shapes, count_images(study, study.paths.results))
