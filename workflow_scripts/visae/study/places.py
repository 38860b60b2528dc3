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


@dataclass
class Needed:
    """The splits that are cached of one block of one backbone, and those that are reduced raw.

    measured: those of whose cache there is all but the activations. All are dictionaries for their
    keys' sake: each split once, in order.
    """

    backbone: str
    layer: int
    cached: dict = field(default_factory=dict)
    reduced: dict = field(default_factory=dict)
    measured: dict = field(default_factory=dict)

    @property
    def name(self):
        return paths.place(self.backbone, self.layer)


def needed(study):
    """A list of `Needed`: what the whole study takes."""
    found = {}

    def need(backbone, layer, cached, reduced=()):
        place = found.setdefault((backbone, layer), Needed(backbone, layer))
        place.cached |= dict.fromkeys(jobs.extracted_with(study, cached))
        place.measured |= {split: None for split in jobs.measuring(study) if split in cached}
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
    raster = in_raster_order(study)
    for place in list(found.values()):
        if place.backbone in raster:
            need(raster[place.backbone], place.layer, [*place.cached, *place.measured])
    return list(found.values())


def in_raster_order(study):
    """{permuted backbone: the first backbone of the study that is the same in raster order}."""
    return {
        name: same[0]
        for name, entry in study.backbones.items()
        if entry["token_order"] == "permuted" and (same := roles.in_raster_order(study, name))
    }


def passes(study, needs, views, splits):
    """{blocks: backbones} of the passes over `splits` that give several blocks at once.

    needs: of `needed`. views: of `in_raster_order`. Blocks are in increasing order. Those that
    were asked for later than others, whose shards stand (or, of splits that are measured, whose
    caches), have a pass of their own.
    """
    blocks = {}
    for place in needs:
        if place.backbone not in views and any(
            split in place.cached or split in place.measured for split in splits
        ):
            blocks.setdefault(place.backbone, set()).add(place.layer)
    found = {}
    for backbone, layers in blocks.items():
        for together in _level(study, backbone, layers, splits):
            if len(together) > 1:
                found.setdefault(together, []).append(backbone)
    return found


def _level(study, backbone, layers, splits):
    """`layers` in groups of which the same shards of `splits` are there; a single one is alone."""
    if len(layers) == 1:
        return [tuple(layers)]
    groups = {}
    for layer in sorted(layers):
        place = paths.place(backbone, layer)
        there = tuple(
            os.path.exists(path) for split in splits for path in _written(study, split, place)
        )
        groups.setdefault(there, []).append(layer)
    return map(tuple, groups.values())


def _written(study, split, place):
    """The files of a split that a pass writes."""
    if not split.cached:
        return [study.paths.cache(split.name, place)]
    return [study.paths.shard(split.name, n, split.shards, place) for n in range(split.shards)]
