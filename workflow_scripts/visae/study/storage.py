"""Which activations are kept at each block: the `storage` of the sweeps that read it.

All sweeps that read a block of a backbone have the same (`visae.study.checks`). A block of which no
sweep has SAEs, such as an evaluator's, has the study's.
"""

from visae.study import roles

FULL, LEAN = "full", "lean"


def storages(study):
    """The values of `storage` that blocks of a study have, the study's own first."""
    return [*dict.fromkeys([study.config["storage"], *(s.storage for s in study.sweeps.values())])]


def of_blocks(study):
    """{(backbone, block): storage} of the blocks that sweeps read.

    The patches of a control are permuted from the caches of the backbone in raster order, so both
    are kept alike, whichever of them is read.
    """
    raster = {name: name for name in study.backbones} | roles.views(study)
    read = {
        (raster[backbone], layer): sweep.storage
        for sweep in study.sweeps.values()
        for backbone, layer in sweep.layers.items()
    }
    return {
        (name, layer): storage
        for (source, layer), storage in read.items()
        for name in raster
        if raster[name] == source
    }
