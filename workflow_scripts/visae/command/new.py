"""The config of a study of one's own images, with sizes that suit their number."""

import math
import re
from pathlib import Path

import yaml

from visae.backbones import loaders
from visae.backbones.catalogue import suggestions
from visae.base.errors import UserError
from visae.base.files import write_text
from visae.base.templates import environment
from visae.evals.entry import IMAGES, SAES, defaults
from visae.evals.shelf import EVALS, metrics, reads
from visae.images.layouts import index_images
from visae.images.layouts.imagefolder.read import METADATA
from visae.study.study import Study

LAYOUT = "imagefolder"
SHARES = {"train": 0.8, "val": 0.2}
"""Splits, and their shares of images that lie in one folder."""

STEPS = 1000
"""Steps of training that a study of few images is given, by passes and by smaller batches."""

BATCHES = (128, 8192)
"""Smallest and largest batch, in patch tokens; the largest is the paper's."""

PASSES = 50
COARSE = 20_000
"""Images up to which starting a job costs more than its work on one shard."""

SHARD = 50_000


def write_study(path, name, folder, backbones, layer=None, random=False):
    """Write the config of the study `name` to `path`; returns what was found and what to do next.

    folder: images, in one folder per class, with or without `train` and `val` above them, or all
    in one. backbones: LOADER:MODEL, or a model's name that one library alone knows. layer: block,
    None for each one's last. random: random weights.

    Raises:
        UserError: a name that no study may have, an existing file, no images, an unknown model.
    """
    from visae.backbones.measuring import measured

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(
            f"'{name}' can name no study: write a lower-case letter, then a-z, 0-9 and _"
        )
    if path.exists():
        raise UserError(f"{path} exists: take it away, or give --output another name")
    shares, counts, classes = _images(folder)
    entries = _backbones(backbones, random)
    geometries = measured({key: _measurable(entry) for key, entry in entries.items()})
    for key, entry in entries.items():
        depth = len(geometries[key].flops)
        if layer is not None and not 0 <= layer < depth:
            raise UserError(
                f"--layer is {layer}, but {entry['model']} has the blocks 0 to {depth - 1}"
            )
        entry["layer"] = depth - 1 if layer is None else layer
    text = _text(name, folder, shares, counts, classes, entries, geometries)
    Study(yaml.safe_load(text))  # what cannot run is not written
    write_text(path, text)
    found = " and ".join(f"{number:,} in {split}" for split, number in counts.items())
    kinds = f"{classes} classes" if classes else "no classes"
    return (
        f"{sum(counts.values()):,} images of {kinds} ({found}); config written to {path}.\n"
        f"Next: visae check {path}; visae run {path}"
    )


def _images(folder):
    """(the splits' shares of one folder or None, split → number of images, number of classes)."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give --images the folder of your images")
    shares = None if all((folder / part).is_dir() for part in SHARES) else SHARES
    labels = "all" if _says_classes(folder, shares) else "none"
    found = {part: index_images(LAYOUT, folder, part, None, labels, shares) for part in SHARES}
    classes = len(next(iter(found.values())).classes)
    return shares, {part: len(index.images) for part, index in found.items()}, classes


def _says_classes(folder, shares):
    """Whether images lie in folders of their own, or a list beside them says what they are."""
    tops = [folder] if shares else [folder, *(folder / part for part in SHARES)]
    parts = set() if shares else set(SHARES)
    return any(
        (path.is_dir() and path.name not in parts) or path.name in METADATA
        for top in tops
        for path in top.iterdir()
        if not path.name.startswith(".")
    )


def _backbones(names, random):
    """Name → config entry of models given as LOADER:MODEL."""
    entries = {}
    for given in names:
        loader, _, model = given.partition(":")
        if loader not in loaders.LOADERS:
            loader, model = _loader_of(given), given
        key = re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_")
        key = key if key[:1].isalpha() else f"vit_{key}"
        if key in entries:
            raise UserError(f"--backbone names {key} twice: give each model once")
        entries[key] = {"label": model, "paradigm": "unknown", "loader": loader, "model": model}
        if random:
            entries[key]["weights"] = "random"
    names = list(entries)
    for here, key in enumerate(names):
        entries[key]["evaluator"] = names[(here + 1) % len(names)] if len(names) > 1 else None
    return entries


def _loader_of(model):
    """The one loader whose list has the model; UserError where none has or several have it."""
    found = suggestions(model)
    exact = [loader for loader, close in found.items() if model in close]
    if len(exact) == 1:
        return exact[0]
    close = [f"{loader}:{name}" for loader, names in found.items() for name in names]
    raise UserError(
        f"'{model}' is no LOADER:MODEL (loaders: {', '.join(loaders.LOADERS)})"
        + (
            f"; did you mean {' or '.join(close[:4])}?"
            if close
            else "; a hub id of transformers is written transformers:owner/name"
        )
    )


def _measurable(entry):
    return {"image_size": None, "options": {}, "weights": "random", **entry}


def _text(name, folder, shares, counts, classes, entries, geometries):
    train, scored = counts.values()
    tokens = min(train * geometry.patches for geometry in geometries.values())
    width = max(geometry.width for geometry in geometries.values())
    smallest, largest = BATCHES
    batch = 2 ** round(math.log2(min(max(tokens / STEPS, smallest), largest)))
    epochs = min(max(1, math.ceil(STEPS * batch / tokens)), PASSES)
    splits = {part: {"shards": max(1, round(n / SHARD))} for part, n in counts.items()}
    for part in shares or ():
        splits[part]["share"] = shares[part]
    template = environment(Path(__file__).parent).get_template("study.yaml.jinja")
    return template.render(
        name=name,
        granularity="coarse" if sum(counts.values()) <= COARSE else "fine",
        layout=LAYOUT,
        root=str(folder),
        counts=counts,
        classes=classes,
        splits=splits,
        backbones=entries,
        metrics=_metrics(entries),
        for_few=_for_few(_metrics(entries), scored),
        scored=scored,
        width=width,
        batch=batch,
        epochs=epochs,
        steps=math.ceil(tokens / batch) * epochs,
    )


def _for_few(metrics, scored):
    """{metric: {setting: (number, default)}} where a study of `scored` images needs fewer."""
    found = {}
    for metric in metrics:
        usual = defaults(EVALS[metric].settings)
        for setting, most in EVALS[metric].most.items():
            if most.of == IMAGES and (number := most.for_few(scored)) < usual[setting]:
                found.setdefault(metric, {})[setting] = number, usual[setting]
    return found


def _metrics(entries):
    """Metrics that such a study can have: no other data sets, no second space with one backbone."""
    return [
        metric
        for metric in metrics()
        if EVALS[metric].data != "cross_domain"
        and (len(entries) > 1 or not reads([metric], SAES, "embeddings"))
    ]
