"""The work of a study by stage: activations read, and FLOPs of the products.

A multiplication and an addition are two. Products are counted as they are executed: on CUDA by full
matrices, on the CPU and in screened encoding by the active codes alone. Not counted: images as
files, tables, figures and the heads of downstream tasks.
"""

import contextlib
from dataclasses import dataclass
from itertools import product

from visae.base.errors import UserError
from visae.base.seals import read_document
from visae.evals.entry import SAES
from visae.evals.shelf import reads
from visae.plan import probes
from visae.plan.artefacts import artefacts, number_bytes, places
from visae.sae.exchange.inspected import FORMAT as INSPECTED
from visae.sae.screened import CROWDED, is_screened
from visae.study import jobs

CANDIDATES = 1.1
"""Codes that screened encoding on CUDA computes in float32, per kept one: 1.04 to 1.06 were seen at
the paper's shapes."""
CUTS = 4
"""Products of float32 that its bound takes for each code."""


@dataclass(frozen=True)
class Stage:
    """One kind of work on one block of one backbone.

    work: the split or the sweep it is about. images: that pass through the backbone. read: bytes of
    activations. gpu_flops, cpu_flops: the same work done on either. precision: of the products on
    CUDA, but for half_flops, those of gpu_flops that are of float16. written: bytes.
    """

    stage: str
    backbone: str
    layer: int
    work: str
    images: int
    written: int
    read: int
    gpu_flops: int
    cpu_flops: int
    precision: str
    half_flops: int = 0

    def hours(self, speeds):
        """GPU-hours: the products at the assumed speed, or the reading where that takes longer.

        speeds: the config's section `planning`. Stages without products take no GPU.
        """
        if not self.gpu_flops:
            return 0.0
        others = self.gpu_flops - self.half_flops
        seconds = others / speeds[f"{self.precision}_flops"]
        seconds += self.half_flops / speeds["float16_flops"]
        return max(seconds, self.read / speeds["read_bytes"]) / 3600


def stages(study, geometries, counts):
    """The work of the whole study: a list of Stage, in the order in which it is done."""
    files = artefacts(study, geometries, counts)
    return [
        *_extraction(study, places(study, geometries), counts, files),
        *sorted(_training(study, geometries, counts, files), key=lambda row: row.stage),
        *_encoding(study, geometries, counts, files),
        *_ranking(study, files),
        *_probing(study, geometries, counts),
        *_tasks_on_patches(study, geometries, counts),
    ]


def _written(files, stage, backbone, layer, work):
    wanted = (stage, backbone, layer, work)
    return sum(f.size for f in files if (f.stage, f.backbone, f.layer, f.work) == wanted)


def _cache_bytes(study, backbone, geometry, images):
    return images * geometry.patches * geometry.width * number_bytes(study, backbone)


def _extraction(study, all_places, counts, files):
    precision = study.config["extraction"]["precision"]
    rows, deepest = [], {}
    for place in all_places:
        for split in place.cached if not place.view else ():
            key = place.backbone, split
            deepest[key] = max(deepest.get(key, place.layer), place.layer)
    for place in all_places:
        key, geometry = (place.backbone, place.layer), place.geometry
        for split in place.cached:
            if place.view:
                written = _written(files, "permute", *key, split.name)
                rows.append(Stage("permute", *key, split.name, 0, written, 0, 0, 0, precision))
                continue
            # The pass to the last block has the others on its way.
            last = deepest[place.backbone, split] == place.layer
            images = counts[split.name].images
            passed = images if last else 0
            work = passed * geometry.flops[place.layer]
            written = _written(files, "extract", *key, split.name)
            rows.append(
                Stage("extract", *key, split.name, passed, written, 0, work, work, precision)
            )
            held = images if split.cached_in(place.storage) else 0
            read = _cache_bytes(study, place.backbone, geometry, held)
            written = _written(files, "join", *key, split.name)
            rows.append(Stage("join", *key, split.name, 0, written, read, 0, 0, precision))
        for split in place.reduced:
            images = counts[split.name].images
            written = _written(files, "reduce_raw", *key, split.name)
            passed, held = (0, images) if split.cached_in(place.storage) else (images, 0)
            work = passed * geometry.flops[place.layer]
            read = _cache_bytes(study, place.backbone, geometry, held)
            rows.append(
                Stage("reduce_raw", *key, split.name, passed, written, read, work, work, precision)
            )
    order = ("extract", "join", "permute", "reduce_raw")
    return sorted(rows, key=lambda row: order.index(row.stage))


def _products(specs, width, passes):
    """FLOPs per token on CUDA and on the CPU: the encoder's product, and `passes` others.

    On the CPU these touch one row of the dictionary per active code, K of them (all features,
    where the family has no K).
    """
    gpu = sum((1 + passes) * 2 * width * s.features(width) for s in specs)
    cpu = sum(2 * width * (s.features(width) + passes * (s.k or s.features(width))) for s in specs)
    return gpu, int(cpu)


def _by_first(groups):
    """Sweep of the config → the group of `jobs.trained_together` or so that it is the first of."""
    return {next(iter(group.origins.values())): group for group in groups}


def _cut_by_threshold(study, sweep, backbone, layer):
    """The names of a sweep's SAEs whose active codes are those above a threshold.

    All are that are trained here. The files of others may say otherwise, once they were read.
    """
    read = {}
    with contextlib.suppress(UserError):
        if sweep.imported:
            path = study.paths.inspected(sweep.name, f"{backbone}-layer{layer}")
            read = read_document(path, INSPECTED)["saes"]
    others = {name for name in read if read[name]["inference"]["activation"] != "threshold"}
    return {*sweep.sae_names()} - others


def _screened(specs, width, cut):
    """FLOPs per token of encoding and decoding on CUDA: all of them, and those of float16.

    Few candidates are computed in float32 and decoded; elsewhere both products are whole. cut: of
    `_cut_by_threshold`.
    """
    half = whole = 0
    for spec in specs:
        features = spec.features(width)
        found = CANDIDATES * (spec.k or features)
        few = found <= CROWDED * features and spec.name in cut
        if few and is_screened(features, width):
            half += 2 * width * features
            whole += 2 * CUTS * features + 2 * 2 * width * found
        else:
            whole += 2 * 2 * width * features
    return round(half + whole), half


def _training(study, geometries, counts, files):
    precision, epochs = (study.config["training"][key] for key in ("precision", "epochs"))
    images = counts[study.training.name].images * epochs
    groups, computing = jobs.trained_together(study), study.config["extraction"]["precision"]
    first = _by_first(groups)
    for sweep in study.sweeps.values():
        cached = study.training.cached_in(sweep.storage)
        # Sweeps that are trained together share the reading; here each counts its own.
        for backbone, layer in sweep.layers.items():
            geometry = geometries[backbone]
            if not cached and sweep.name in first and not sweep.imported:
                passed = images * len(jobs.training(first[sweep.name], groups))
                work = passed * geometry.flops[layer]
                key = ("compute", backbone, layer, sweep.name)
                yield Stage(*key, passed, 0, 0, work, work, computing)
            tokens = 0 if sweep.imported else images * geometry.patches
            gpu, cpu = _products(sweep.saes, geometry.width, passes=4)
            written = _written(files, "train", backbone, layer, sweep.name)
            read = tokens * geometry.width * number_bytes(study, backbone) * cached
            yield Stage(
                "train",
                backbone,
                layer,
                sweep.name,
                0,
                written,
                read * sweep.training_jobs,
                tokens * gpu,
                tokens * cpu,
                precision,
            )


def _encoding(study, geometries, counts, files):
    first = _by_first(jobs.encoded_together(study, cached=False))
    for stage in ("encode", "stream"):
        for sweep in study.sweeps.values():
            cached = stage == "encode"
            batches = (jobs.encoding if cached else jobs.streaming)(study, sweep)
            splits = [split for _, batch in batches for split in batch]
            images = sum(counts[split.name].images for split in splits)
            for backbone, layer in sweep.layers.items() if splits else []:
                geometry, key = geometries[backbone], (stage, backbone, layer, sweep.name)
                cut = _cut_by_threshold(study, sweep, backbone, layer)
                gpu, half = _screened(sweep.saes, geometry.width, cut)
                _, cpu = _products(sweep.saes, geometry.width, passes=1)
                gpu, half, cpu = (images * geometry.patches * work for work in (gpu, half, cpu))
                # Sweeps that are encoded together share the pass over the images.
                passed = images if not cached and sweep.name in first else 0
                forward = passed * geometry.flops[layer]
                if study.config["extraction"]["precision"] == "float16":
                    half += forward
                held = images if cached else 0
                read = _cache_bytes(study, backbone, geometry, held)
                written = _written(files, *key)
                work = gpu + forward, cpu + forward
                yield Stage(*key, passed, written, read, *work, "float32", half)


def _ranking(study, files):
    for sweep in study.sweeps.values():
        for backbone, layer in sweep.layers.items():
            key = ("rank", backbone, layer, sweep.name)
            yield Stage(*key, 0, _written(files, *key), 0, 0, 0, "float32")


def _probing(study, geometries, counts):
    """The probes of metrics; one data set after the other of raw features, then of each sweep."""
    for place in places(study, geometries):
        for dataset in study.probe_datasets():
            if study.probe_splits(dataset)[0] in place.reduced:
                work = probes.of_raw_features(study, dataset, counts, place.geometry.width)
                key = ("fit_raw_probes", place.backbone, place.layer, dataset)
                yield Stage(*key, 0, 0, 0, work, work, "float32")
    for sweep in study.sweeps.values():
        for backbone, layer in sweep.layers.items():
            width = geometries[backbone].width
            of_saes = [
                probes.of_sae(study, sweep.metrics, counts, width, spec.features(width))
                for spec in sweep.saes
            ]
            gpu, cpu = map(sum, zip(*of_saes, strict=True))
            yield Stage("score", backbone, layer, sweep.name, 0, 0, 0, gpu, cpu, "float32")


def _tasks_on_patches(study, geometries, counts):
    """Tasks that read caches: both splits once for every SAE, encoded without decoding."""
    of_patches = [task for task in study.tasks() if reads([task], SAES, "patches")]
    for task, sweep in product(of_patches, study.downstream_sweeps):
        for backbone, layer in sweep.layers.items():
            geometry = geometries[backbone]
            images = sum(counts[split.name].images for split in study.segmentation)
            gpu, cpu = _products(sweep.saes, geometry.width, passes=0)
            tokens = images * geometry.patches
            read = len(sweep.saes) * _cache_bytes(study, backbone, geometry, images)
            key = (task, backbone, layer, sweep.name)
            yield Stage(*key, 0, 0, read, tokens * gpu, tokens * cpu, "float32")
