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
    """The splits that have a cache of one block of one backbone, and those that are reduced raw.

    storage: which activations of the block are kept; a cache may be there without them. Both are
    dictionaries for their keys' sake: each split once, in order.
    """

    backbone: str
    layer: int
    storage: str
    cached: dict = field(default_factory=dict)
    reduced: dict = field(default_factory=dict)

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
            need(raster[place.backbone], place.layer, place.cached)
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


def passes(study, needs, views, splits):
    """{blocks: backbones} of the passes over `splits` that give several blocks at once.

    blocks: pairs of a block and the storage it has, in increasing order. Of storages with which
    the same is written (`jobs.extracted_alike`), the first stands for all.

    needs: of `needed`. views: of `roles.views`. Blocks that were asked for later than others, whose
    shards stand, have a pass of their own.
    """
    alike = jobs.extracted_alike(study, splits)
    stands_for = {storage: storages[0] for storages, _ in alike for storage in storages}
    blocks = {}
    for place in needs:
        if place.backbone not in views and not place.cached.keys().isdisjoint(splits):
            own = blocks.setdefault(place.backbone, {})
            own[place.layer] = stands_for[place.storage]
    found = {}
    for backbone, storage_of in blocks.items():
        for together in _level(study, backbone, storage_of, splits):
            if len(together) > 1:
                found.setdefault(together, []).append(backbone)
    return found


def _level(study, backbone, storage_of, splits):
    """Blocks in groups of which the same shards of `splits` are there; a single one is alone."""
    blocks = sorted(storage_of.items())
    if len(blocks) == 1:
        return [tuple(blocks)]
    own = {storage: [s for s in study.splits(storage) if s in splits] for _, storage in blocks}
    groups = {}
    for layer, storage in blocks:
        place = paths.place(backbone, layer)
        there = {split: _shards_there(study, split, place, storage) for split in own[storage]}
        # Of splits that another block lacks, it counts that all is there.
        shared = [there[split] for split in splits if all(split in each for each in own.values())]
        whole = all(map(all, there.values()))
        groups.setdefault((whole, *shared), []).append((layer, storage))
    return map(tuple, groups.values())


def _shards_there(study, split, place, storage):
    """Which of a split's shards are there, as blocks of a `storage` have them."""
    kept = split.cached_in(storage)
    return tuple(
        os.path.exists(study.paths.shard(split.name, number, split.shards, place, kept))
        for number in range(split.shards)
    )
