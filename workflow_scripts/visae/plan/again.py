"""What of a study that has run would be computed again: a job writes all of its files, or none.

SAEs that are trained in one pass are one job, and so are those that encode in one. Where a sweep,
an SAE or a metric was added, and with it a file to such a job, the job's other files are written
again. SAEs that are trained again are encoded again, by jobs that lack no file of their own.
"""

import os
from dataclasses import dataclass

from visae.base.paths import place
from visae.study import jobs


@dataclass(frozen=True)
class Again:
    """Jobs with one name that write files which are there.

    work: what they do. files: how many are there. images: that pass through a network for them.
    """

    work: str
    files: int
    images: int


def again(study, counts):
    """[`Again`, …] of trainings and of encodings, in this order. counts: split name → Count."""
    trained = set()
    jobs_of = [*_trainings(study, counts, trained), *_encodings(study, counts, trained)]
    return [found for found in jobs_of if found.files]


def _trainings(study, counts, trained):
    """Add to `trained` the (place, SAE) that are trained, again or for the first time."""
    images = counts[study.training.name].images * study.config["training"]["epochs"]
    groups = jobs.trained_together(study)
    for group in groups:
        computed = 0 if study.training.cached_in(group.storage) else images
        for job, specs in jobs.training(group, groups):
            names, blocks = [spec.name for spec in specs], _blocks(group, [study.paths.sae], specs)
            written = {where: there for where, there in blocks.items() if not all(there)}
            trained |= {(where, name) for where in written for name in names}
            yield _of_blocks(f"training {job}", written, computed)


def _encodings(study, counts, trained):
    """trained: (place, SAE) whose encodings are no longer those of the SAE."""
    for cached, batches in ((True, jobs.encoding), (False, jobs.streaming)):
        for group in jobs.encoded_together(study, cached):
            for batch, splits in batches(study, group):
                images = 0 if cached else sum(counts[split.name].images for split in splits)
                paths = [
                    lambda name, place, split=split: study.paths.reductions(name, split.name, place)
                    for split in splits
                ]
                written = {
                    where: there
                    for where, there in _blocks(group, paths, group.saes).items()
                    if not all(there) or any((where, spec.name) in trained for spec in group.saes)
                }
                yield _of_blocks(f"encoding {batch} with {group.name}", written, images)


def _blocks(group, paths, specs):
    """{place: whether each file of SAEs is there}, of the jobs of a group, one per block.

    paths: functions from an SAE's name and a place to a file.
    """
    places = [place(backbone, layer) for backbone, layer in group.layers.items()]
    return {
        where: [os.path.exists(path(spec.name, place=where)) for path in paths for spec in specs]
        for where in places
    }


def _of_blocks(work, written, images):
    """The `Again` of jobs that write all of their files; images: of one job."""
    again = [there for there in written.values() if any(there)]
    return Again(work, sum(map(sum, again)), images * len(again))
