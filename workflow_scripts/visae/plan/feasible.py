"""Can a study be computed at all? What its sizes make certain before it runs is refused."""

from visae.base.errors import UserError
from visae.evals.entry import IMAGES, PATCHES
from visae.evals.reads import Data, splits_of
from visae.evals.sections import settings_of
from visae.evals.shelf import EVALS
from visae.study.checks import sizes_in

COUNTED = ("index", "config", "files")
"""Sources of a number of images that is certain: at most so many are read."""


def check(study, geometries, counts):
    """UserError with the first of `problems`."""
    for sentence in problems(study, geometries, counts):
        raise UserError(sentence)


def problems(study, geometries, counts):
    """A sentence for everything that is too large for the study's images and backbones.

    geometries: backbone → Geometry. counts: split name → Count. Each names the settings to change.
    """
    images = {name: count.images for name, count in counts.items() if count.source in COUNTED}
    yield from sizes_in(study, geometries)
    yield from _shards(study, images)
    if study.training.name in images:
        yield from _trainings(study, geometries, images[study.training.name])
    yield from _settings(study, geometries, images)


def _shards(study, images):
    """A shard is of one chunk at least."""
    size = study.config["extraction"]["chunk_images"]
    for split in study.splits():
        chunks = -(-images.get(split.name, 0) // size)
        if 0 < chunks < split.shards:
            yield (
                f"config: datasets.{split.dataset}.splits.{split.split}.shards is {split.shards}, "
                f"but its {images[split.name]:,} images are {chunks} "
                f"{'chunk' if chunks == 1 else 'chunks'} of extraction.chunk_images, {size}: set "
                f"it to {chunks} at most"
            )


def _trainings(study, geometries, images):
    """A training has steps enough to learn from. Of several backbones the shortest is told."""
    trained = {b for sweep in study.sweeps.values() if not sweep.imported for b in sweep.backbones}
    tokens = {backbone: images * geometries[backbone].patches for backbone in sorted(trained)}
    settings, name = study.config["training"], study.training.name
    for backbone, number in sorted(tokens.items(), key=lambda item: item[1])[:1]:
        steps = -(-number // settings["batch_size"]) * settings["epochs"]
        if steps < settings["minimum_steps"]:
            yield (
                f"config: {name} has {number:,} tokens of {backbone}, which are "
                f"{steps} {'step' if steps == 1 else 'steps'} of training.batch_size "
                f"{settings['batch_size']:,} in {settings['epochs']} of training.epochs, too few "
                "to learn anything: lower the batch size, raise the epochs, take more images, or "
                f"lower training.minimum_steps ({settings['minimum_steps']})"
            )
    for sweep in study.sweeps.values():
        if not sweep.imported:
            backbone = min(sweep.backbones, key=lambda backbone: tokens[backbone])
            yield from _patience(study, sweep.name, backbone, tokens[backbone] * settings["epochs"])


def _patience(study, sweep, backbone, tokens):
    """A run of `tokens` tokens does not end before any feature of a sweep can be dead."""
    own = study.own_settings(sweep)
    for section, key in (("auxiliary", "dead_after"), ("resampling", "every")):
        patience = (own.get(section) or {}).get(key, 0)
        if patience >= tokens:
            yield (
                f"config: sweeps.{sweep}.training.{section}.{key} is {patience:,} tokens, but a "
                f"run on {backbone} has {tokens:,}, so that no feature could be dead before its "
                "end: lower it"
            )


def _settings(study, geometries, images):
    """No metric asks for more than there is, as far as its entry says what that is (`most`)."""
    data = Data(
        evaluation=study.evaluation.name,
        cross_domain={d: [s.name for s in pair] for d, pair in study.cross_domain.items()},
    )
    scored = {}  # metric → backbone → patches
    for sweep in study.sweeps.values():
        patches = {backbone: geometries[backbone].patches for backbone in sweep.backbones}
        for metric in sweep.metrics:
            scored.setdefault(metric, {}).update(patches)
    for metric, of_backbones in scored.items():
        of_splits = {name: images[name] for name in splits_of(metric, data) if name in images}
        there = {IMAGES: of_splits, PATCHES: of_backbones}
        chosen = settings_of(metric, study.config)
        for setting, most in EVALS[metric].most.items():
            value = chosen[setting]
            asked = max(value) if isinstance(value, list) else value
            for where, number in sorted(there[most.of].items(), key=lambda item: item[1])[:1]:
                if asked > number:
                    yield (
                        f"config: metrics.{metric}.{setting} {_asks(value, asked)}, but {where} "
                        f"has {number:,} {_of(most.of)}, so that {most.beyond}: lower it to "
                        f"{number} at most, or name the metrics of sweeps without {metric}"
                    )


def _asks(value, asked):
    return f"has {asked:,}" if isinstance(value, list) else f"is {asked:,}"


def _of(size):
    return "patches of an image" if size == PATCHES else size
