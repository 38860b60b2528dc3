"""The shapes of a study's backbones: known, or measured once."""

from visae.backbones import geometry
from visae.study.checks import check_weights


def geometries(study, measure):
    """Name → Geometry of the study's backbones, by `geometry.complete`.

    What is measured has its weights looked for first: a library may ask the network for a model's
    shapes, and waits long where there is none. measure: as for `geometry.complete`. Raises
    UserError for weights that are not there, and as `measure`.
    """

    def measure_existing(entries):
        for name in entries:
            check_weights(study, name)
        return measure(entries)

    return geometry.complete(study.backbones, study.paths.plan("geometry.json"), measure_existing)
