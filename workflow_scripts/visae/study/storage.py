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
    """{(backbone, block): storage} of the blocks that sweeps read."""
    return {block: sweeps[0].storage for block, sweeps in _readers(study).items()}


def keys_of_blocks(study):
    """{(backbone, block): the keys of the config that say its storage}, as `of_blocks`."""
    own = {name for name, entry in study.config["sweeps"].items() if "storage" in entry}
    return {
        block: list(dict.fromkeys(_key(sweep.name, own) for sweep in sweeps))
        for block, sweeps in _readers(study).items()
    }


def _key(sweep, own):
    return f"sweeps.{sweep}.storage" if sweep in own else "storage"


def _readers(study):
    """{(backbone, block): Sweeps that read it}.

    The patches of a control are permuted from the caches of the backbone in raster order, so both
    are kept alike, whichever of them is read.
    """
    raster = {name: name for name in study.backbones} | roles.views(study)
    read = {}
    for sweep in study.sweeps.values():
        for backbone, layer in sweep.layers.items():
            read.setdefault((raster[backbone], layer), []).append(sweep)
    return {
        (name, layer): sweeps
        for (source, layer), sweeps in read.items()
        for name in raster
        if raster[name] == source
    }
