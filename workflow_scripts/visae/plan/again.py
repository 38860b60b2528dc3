"""What of a study that has run would be computed again: a job writes all of its files, or none.

SAEs that are trained in one pass are one job, and so are those that encode in one. Where a sweep,
an SAE or a metric was added, and with it a file to such a job, the job's other files are written
again.
"""

import os
from dataclasses import dataclass

from visae.base.paths import place
from visae.study import jobs


@dataclass(frozen=True)
class Again:
    """Jobs with one name, of which some files are there and others are not.

    work: what they do. files: how many are there. images: that pass through a network for them.
    """

    work: str
    files: int
    images: int


def again(study, counts):
    """[`Again`, …] of trainings and of encodings, in this order. counts: split name → Count."""
    jobs_of = [*_trainings(study, counts), *_encodings(study, counts)]
    return [found for found in jobs_of if found.files]


def _trainings(study, counts):
    images = counts[study.training.name].images * study.config["training"]["epochs"]
    for group in jobs.trained_together(study):
        computed = 0 if study.training.cached_in(group.storage) else images
        for job, specs in jobs.training(group):
            names = [spec.name for spec in specs]
            yield _partly(group, f"training {job}", computed, [study.paths.sae], names)


def _encodings(study, counts):
    for cached, batches in ((True, jobs.encoding), (False, jobs.streaming)):
        for group in jobs.encoded_together(study, cached):
            for batch, splits in batches(study, group):
                images = 0 if cached else sum(counts[split.name].images for split in splits)
                paths = [
                    lambda name, place, split=split: study.paths.reductions(name, split.name, place)
                    for split in splits
                ]
                work = f"encoding {batch} with {group.name}"
                yield _partly(group, work, images, paths, group.sae_names())


def _partly(group, work, images, paths, names):
    """The `Again` of a group's jobs, one per block.

    paths: functions from an SAE's name and a place to a file.
    """
    files = passed = 0
    for backbone, layer in group.layers.items():
        own = [path(name, place=place(backbone, layer)) for path in paths for name in names]
        there = sum(map(os.path.exists, own))
        if 0 < there < len(own):
            files, passed = files + there, passed + images
    return Again(work, files, passed)
