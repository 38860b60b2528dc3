"""From the files of a study to the outcomes of a downstream task: what each task reads.

The tasks themselves know arrays only. Reductions serve retrieval and classification;
segmentation reads patches, and so activation caches.
"""

import contextlib
from dataclasses import dataclass, field

from visae.activations.cache import ActivationCache
from visae.activations.format import check_same_activations
from visae.base.fingerprints import of_file
from visae.encoding.reductions import RawReductions, SaeReductions
from visae.evals.classification.compute import (
    classify_by_codes,
    classify_raw,
    reconstructed_from_m6,
)
from visae.evals.results import read_score
from visae.evals.retrieval.compute import retrieve, retrieve_by_codes
from visae.evals.segmentation.compute import LabelledPatches, patch_labels, segment_raw, segment_sae
from visae.evals.segmentation.heads import HeadSettings
from visae.evals.task_results import CLASSIFICATION, RETRIEVAL, SEGMENTATION, Outcome
from visae.images.index import read_index
from visae.probing.multinomial import read_probe
from visae.probing.splits import read_split
from visae.sae.checkpoint import check_fits, load_sae

MOST_CLASSES = 1000
"""Largest number of classes on which all codes are probed: beyond, F·C weights per SAE cost more
than the rest of the study."""


@dataclass(frozen=True)
class Patches:
    """What segmentation reads. Build it with `open_patches`."""

    train: LabelledPatches
    test: LabelledPatches
    class_names: list
    head: HeadSettings


@dataclass(frozen=True)
class Files:
    """The files of one backbone and layer that its tasks read; absent ones are empty.

    raw: split → reductions. raw_probes: data set → probe. reductions: (split, SAE) → path.
    scores: SAE → its cross_domain score. saes: SAE → folder. training: the training cache.
    cross_domain: data set → (training split, test split). evaluation: name of that split.
    """

    evaluation: str
    cross_domain: dict
    probe_split: str
    raw: dict = field(default_factory=dict)
    raw_probes: dict = field(default_factory=dict)
    reductions: dict = field(default_factory=dict)
    scores: dict = field(default_factory=dict)
    saes: dict = field(default_factory=dict)
    training: str | None = None
    patches: Patches | None = None


@contextlib.contextmanager
def open_patches(caches, indices, classes, root, head, threads):
    """The `Patches` of (training, test) caches and indices, or None without caches.

    classes: `classes.csv`. root: the data set's folder. head: settings of `HeadSettings`.
    """
    with contextlib.ExitStack() as stack:
        labelled = []
        for path, images in zip(caches, indices, strict=True):
            cache, index = stack.enter_context(ActivationCache(path)), read_index(images, classes)
            labelled.append(LabelledPatches(cache, patch_labels(cache, index, root, threads)))
        if not labelled:
            yield None
            return
        names = [record.class_name for record in index.classes]
        yield Patches(*labelled, names, HeadSettings(**head))


def evaluate_raw(task, files, seed, device):
    """({`raw`: Outcome}, fingerprints of the inputs) of a backbone's own features."""
    outcome, inputs = _of_kind(task, _RAW)(files, _dataset(task), seed, device)
    return {"raw": outcome}, inputs


def evaluate_sae(task, files, sae, seed, device, threads):
    """({`reconstructed`, `codes`: Outcome}, fingerprints of the inputs) of the SAE `sae`."""
    return _of_kind(task, _SAE)(files, _dataset(task), sae, seed, device, threads)


def settings_of(task, seed, head):
    """What of the config a task depends on, for its provenance."""
    return {"seed": seed} | ({"head": head} if task == SEGMENTATION else {})


def _of_kind(task, functions):
    return functions[CLASSIFICATION if task.startswith(CLASSIFICATION) else task]


def _dataset(task):
    return task.removeprefix(CLASSIFICATION)


# ---------------------------------------------------------------- raw features


def _retrieve_raw(files, dataset, seed, device):
    split = files.evaluation
    with RawReductions(files.raw[split]) as raw:
        held_out = read_split(files.probe_split, raw.image_ids)
        outcome = retrieve(raw.features_max()[held_out], raw.labels[held_out], device)
        return outcome, _split(files) | {f"activations of {split}": raw.cache_fingerprint}


def _classify_raw(files, dataset, seed, device):
    _, split = files.cross_domain[dataset]
    with RawReductions(files.raw[split]) as raw:
        probe = read_probe(files.raw_probes[dataset])
        outcome = classify_raw(probe, raw.features_max(), raw.labels)
        return outcome, {f"activations of {split}": raw.cache_fingerprint}


def _segment_raw(files, dataset, seed, device):
    patches = files.patches
    with ActivationCache(files.training) as training:
        check_same_activations(training.info, patches.train.cache.info)
        outcome = segment_raw(
            patches.train,
            patches.test,
            patches.class_names,
            training.mean,
            training.std,
            patches.head,
            seed,
            device,
        )
    return outcome, _caches(patches)


# ---------------------------------------------------------------- SAEs


def _retrieve_sae(files, dataset, sae, seed, device, threads):
    split = files.evaluation
    with SaeReductions(files.reductions[split, sae]) as encoded:
        labels, held_out = encoded.labels, read_split(files.probe_split, encoded.image_ids)
        outcomes = {
            "reconstructed": retrieve(
                encoded.reconstructions_max()[held_out], labels[held_out], device
            ),
            "codes": retrieve_by_codes(encoded.codes, labels, held_out, device, threads),
        }
        return outcomes, _split(files) | _encoded(encoded, split)


def _classify_sae(files, dataset, sae, seed, device, threads):
    train_split, test_split = files.cross_domain[dataset]
    reconstructed = reconstructed_from_m6(read_score(files.scores[sae]), dataset)
    with (
        SaeReductions(files.reductions[train_split, sae]) as train,
        SaeReductions(files.reductions[test_split, sae]) as test,
    ):
        classes = len(set(train.labels.tolist()))
        if classes > MOST_CLASSES:
            reason = f"all codes are probed on up to {MOST_CLASSES} classes, here are {classes}"
            codes = Outcome(None, reason)
        else:
            arrays = train.codes, test.codes, train.labels, test.labels
            codes = classify_by_codes(*arrays, device, seed)
        inputs = _encoded(train, train_split) | _encoded(test, test_split)
    return {"reconstructed": reconstructed, "codes": codes}, inputs


def _segment_sae(files, dataset, sae, seed, device, threads):
    patches, saved = files.patches, load_sae(files.saes[sae])
    check_fits(saved, patches.train.cache.info, files.saes[sae])
    outcomes = segment_sae(
        patches.train,
        patches.test,
        patches.class_names,
        saved.model,
        patches.head,
        seed,
        device,
    )
    return outcomes, {"sae": saved.fingerprint, **_caches(patches)}


def _split(files):
    return {"the probe split": of_file(files.probe_split)}


def _encoded(encoded, split):
    return {"sae": encoded.sae_fingerprint, f"activations of {split}": encoded.cache_fingerprint}


def _caches(patches):
    caches = [part.cache for part in (patches.train, patches.test)]
    return {
        f"activations of {cache.info.dataset}/{cache.info.split}": cache.fingerprint
        for cache in caches
    }


_RAW = {RETRIEVAL: _retrieve_raw, CLASSIFICATION: _classify_raw, SEGMENTATION: _segment_raw}
_SAE = {RETRIEVAL: _retrieve_sae, CLASSIFICATION: _classify_sae, SEGMENTATION: _segment_sae}
