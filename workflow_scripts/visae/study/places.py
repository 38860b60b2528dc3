"""Which activations a study needs: the blocks of its backbones, and the splits that each reads.

All blocks of a backbone that read a split come from one pass over its images. The control arm
`token_order: permuted` is no pass: its caches are views of those of the backbone in raster order,
if the study has that.
"""

import os
from dataclasses import dataclass, field

from visae.base import paths
from visae.evals.entry import SAES
from visae.evals.shelf import reads
from visae.study import jobs, roles
from visae.study.storage import of_blocks


@dataclass
class Needed:
    """The splits that are cached of one block of one backbone, and those that are reduced raw.

    storage: which activations of the block are kept. measured: the splits of whose cache there is
    all but the activations. All three are dictionaries for their keys' sake: each split once, in
    order.
    """

    backbone: str
    layer: int
    storage: str
    cached: dict = field(default_factory=dict)
    reduced: dict = field(default_factory=dict)
    measured: dict = field(default_factory=dict)

    @property
    def name(self):
        return paths.place(self.backbone, self.layer)


def needed(study):
    """A list of `Needed`: what the whole study takes."""
    found, blocks = {}, of_blocks(study)

    def need(backbone, layer, cached, reduced=()):
        storage = blocks.get((backbone, layer), study.config["storage"])
        place = found.setdefault((backbone, layer), Needed(backbone, layer, storage))
        place.cached |= dict.fromkeys(jobs.extracted_with(study, cached, storage))
        measured = [split for split in jobs.measuring(study, storage) if split in cached]
        place.measured |= dict.fromkeys(measured)
        place.reduced |= dict.fromkeys(jobs.reduced_with(study, reduced))

    for sweep in study.sweeps.values():
        encoded = study.encoded_splits(sweep)
        masks = list(study.segmentation or ()) if sweep in study.downstream_sweeps else []
        for backbone, layer in sweep.layers.items():
            need(backbone, layer, [study.training, study.held_out, *encoded, *masks], encoded)
            if reads(sweep.metrics, SAES, "embeddings"):
                evaluator = study.backbones[backbone]["evaluator"]
                own = study.backbones[evaluator]["layer"]
                need(evaluator, own, [study.statistics, study.evaluation], [study.evaluation])
    raster = roles.views(study)
    for place in list(found.values()):
        if place.backbone in raster:
            need(raster[place.backbone], place.layer, [*place.cached, *place.measured])
    return list(found.values())


def only(needs, default, storages):
    """The start of a regular expression that only places of these `storages` match.

    needs: of `needed`. default: the study's storage, which blocks have that it does not need.
    """
    own, others = (
        "|".join(f"{need.name}/" for need in needs if (need.storage in storages) == mine)
        for mine in (True, False)
    )
    if default not in storages:
        return f"(?={own})" if own else "(?!)"
    return f"(?!{others})" if others else ""


def passes(study, needs, views, splits, storages):
    """{blocks: backbones} of the passes over `splits` that give several blocks at once.

    needs: of `needed`. views: of `roles.views`. storages: of the blocks. Blocks are in increasing
    order. Those that were asked for later than others, whose shards stand (or, of splits that are
    measured, whose caches), have a pass of their own.
    """
    blocks = {}
    for place in needs:
        of_pass = place.storage in storages and place.backbone not in views
        if of_pass and any(split in place.cached or split in place.measured for split in splits):
            blocks.setdefault(place.backbone, set()).add(place.layer)
    found = {}
    for backbone, layers in blocks.items():
        for together in _level(study, backbone, layers, splits, storages[0]):
            if len(together) > 1:
                found.setdefault(together, []).append(backbone)
    return found


def _level(study, backbone, layers, splits, storage):
    """`layers` in groups of which the same shards of `splits` are there; a single one is alone."""
    if len(layers) == 1:
        return [tuple(layers)]
    groups = {}
    for layer in sorted(layers):
        place = paths.place(backbone, layer)
        there = tuple(
            os.path.exists(path)
            for split in splits
            for path in _written(study, split, place, storage)
        )
        groups.setdefault(there, []).append(layer)
    return map(tuple, groups.values())


def _written(study, split, place, storage):
    """The files of a split that a pass writes."""
    if not split.cached_in(storage):
        return [study.paths.cache(split.name, place)]
    return [study.paths.shard(split.name, n, split.shards, place) for n in range(split.shards)]
