"""Can a run be written to disk? What it writes, less what is there already, against what is free.

Free space is what the file system says; a quota on it is not seen.
"""

import os
import shutil
import sys
from collections import defaultdict

from visae.backbones.measuring import measured_apart
from visae.base.errors import UserError
from visae.plan import feasible
from visae.plan.artefacts import artefacts, resume_files
from visae.plan.geometries import geometries
from visae.plan.images import count_images
from visae.study.storage import LEAN, keys_of_blocks, of_blocks

LARGE = ("activations", "saes", "reductions", "rankings")
"""The folders below `results/<study>` whose files are counted."""


def check_run(study, outputs):
    """Refuse a run that writes `outputs`, paths as Snakemake names them, if it cannot.

    Returns None, or why it could not be told. Raises UserError, see `check_writable`, `check_fits`.
    """
    check_writable(outputs)
    if not has_large(study, outputs):
        return None
    counts = count_images(study, study.paths.results, outputs)
    try:
        shapes = geometries(study, _measured_aloud)
    except ImportError as error:
        # Snakemake's own environment need not hold the libraries of the backbones.
        return (
            f"The disk that this run needs was not counted ({error}): "
            "`snakemake --cores 1 -- plan` counts it"
        )
    feasible.check(study, shapes, counts)
    check_fits(study, written_files(study, shapes, counts, outputs), counts)
    return None


def _measured_aloud(entries):
    """`measured_apart`, and a line before it, since it takes as long as importing the libraries."""
    print(f"Measuring, once, the shapes of {', '.join(entries)}", file=sys.stderr, flush=True)
    return measured_apart(entries)


def check_writable(outputs):
    """Refuse a run if a folder that it writes to is closed to writing.

    Raises UserError with the folder and the cure.
    """
    for folder in sorted({_existing(os.path.dirname(path)) for path in outputs}):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UserError(
                f"{folder} is closed to writing and this run writes below it: change its "
                "permissions or remount its file system, or link it to a folder of yours."
            )


def has_large(study, outputs):
    """Is any of `outputs`, paths as Snakemake names them, in one of the LARGE folders?"""
    return any(study.paths.kind(path) in LARGE for path in outputs)


def written_files(study, geometries, counts, outputs):
    """The large files among `outputs`, and the checkpoints on the way to them: Artefacts.

    outputs: a set of paths as Snakemake names them.
    """
    files = [a for a in artefacts(study, geometries, counts) if a.path in outputs]
    return files + resume_files(study, geometries, outputs)


def check_fits(study, files, counts):
    """Refuse a run whose files do not fit, by file system: links lead to others.

    files: as from `written_files`; of those that exist only what they will grow by is needed.
    Raises UserError with what is needed, what is free and the cures.
    """
    parents = {os.path.dirname(file.path) for file in files}
    existing = {parent: _existing(parent) for parent in parents}
    folders, needed = {}, defaultdict(int)
    for file in files:
        there = os.path.getsize(file.path) if os.path.isfile(file.path) else 0
        folder = existing[os.path.dirname(file.path)]
        device = os.stat(folder).st_dev
        folders.setdefault(device, folder)
        needed[device] += max(0, file.size - there)
    for device, folder in folders.items():
        free = shutil.disk_usage(folder).free
        if needed[device] > free:
            raise UserError(_refusal(study, files, counts, needed[device], free))


def readable(count):
    """A number of bytes in decimal units, such as `2.1 TB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.3g} {unit}" if count < 1000 else f"{count:,.0f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def _existing(folder):
    """The nearest folder above (or at) a path that exists."""
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder or "."


def _refusal(study, files, counts, needed, free):
    kinds = defaultdict(int)
    for file in files:
        kinds[study.paths.kind(file.path)] += file.size
    parts = ", ".join(
        f"{kind} {readable(size)}" for kind, size in sorted(kinds.items(), key=lambda k: -k[1])
    )
    cures = ["free space", f"link {study.paths.results} to a larger disk"]
    if keys := _stored_by(study, files):
        cures.append(
            f"set {' and '.join(keys)} to {LEAN} (activations to train on are then computed, not "
            "stored)"
        )
    cached = _streamable(study, files)
    if cached:
        cures.append(f"set datasets.{cached}.cache: false (its activations are then never stored)")
    cures.append("take backbones, SAEs or data sets out of the config")
    held = {file.split.name for file in files if file.split}
    published = [
        name for name, count in counts.items() if count.source == "published" and name in held
    ]
    note = (
        f" Images of {', '.join(published)} are counted as published, since those in `root` could "
        "not be listed; `snakemake --cores 1 -- index`, with your config, lists them or says why."
        if published
        else ""
    )
    *first, last = cures
    return (
        f"this run needs {readable(needed)} below {study.paths.results} ({parts}), "
        f"{readable(free)} are free there; {', '.join(first)}, or {last}.{note} "
        "The same command with `--no-hooks` leaves this check out; "
        "`snakemake --cores 1 -- plan`, with your config, shows the whole study."
    )


def _stored_by(study, files):
    """The keys of the config by which activations among the files are stored, and need not be."""
    storages, keys, found = of_blocks(study), keys_of_blocks(study), {}
    for file in files:
        block = file.backbone, file.layer
        of_block = storages.get(block, study.config["storage"])
        if file.stage == "extract" and LEAN not in file.split.kept and of_block in file.split.kept:
            found |= dict.fromkeys(keys.get(block, ["storage"]))
    return list(found)


def _streamable(study, files):
    """The data set with the largest caches among those that need none, or None."""
    needing = {study.training.dataset, study.evaluation.dataset}
    needing |= {split.dataset for split in study.segmentation or ()}
    by_dataset = defaultdict(int)
    for file in files:
        if file.stage in ("extract", "join") and file.split.dataset not in needing:
            by_dataset[file.split.dataset] += file.size
    return max(by_dataset, key=lambda dataset: by_dataset[dataset], default=None)
