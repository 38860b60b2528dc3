"""What a study costs, counted from its config: bytes of every large file, bytes read, FLOPs.

Sizes follow docs/formats.md. FLOPs are those of the products (a multiplication and an addition are
two), as they are executed: on CUDA by full matrices, on the CPU by the active codes alone. Not
counted: images as files, probes, scores, tables, figures and the heads of downstream tasks.
"""

from dataclasses import dataclass
from pathlib import Path

from visae.errors import UserError
from visae.geometry import Geometry

HALF, SINGLE, DOUBLE = 2, 4, 8
TEXT_BYTES = 100
"""Of an image's id (60 to 145, by its length) and its label in an HDF5 file."""
FILE_BYTES = 6_000
"""Of an HDF5 file around its arrays: headers, attributes, index."""
ADAM_STATES = 3
"""A resumable checkpoint holds the weights and Adam's two moments."""

PUBLISHED_IMAGES = {
    "imagenet": {"train": 1_281_167, "val": 50_000},
    "inaturalist_2021": {"train": 2_686_843, "train_mini": 500_000, "val": 100_000},
    "cub_200_2011": {"train": 5_994, "test": 5_794},
    "dtd": {
        f"{part}{number}": 3_760 if part == "trainval" else 1_880
        for part in ("train", "val", "test", "trainval")
        for number in range(1, 11)
    },
    "ade20k": {"training": 20_210, "validation": 2_000},
}
"""Layout → split → images, as the authors of the data sets state them."""

METRICS_OF_RANKINGS = {"sparse_probing", "cross_domain", "absorption"}

PUBLISHED_CLASSES = {"imagenet": 1000, "inaturalist_2021": 10_000, "cub_200_2011": 200, "dtd": 47}


@dataclass(frozen=True)
class Count:
    """How many images a split has. source: `index`, `config`, `published` or `unknown` (then 0)."""

    images: int
    classes: int
    source: str


@dataclass(frozen=True)
class Artefact:
    """A file that the study writes, or a group of files in one folder. size: bytes."""

    path: str
    stage: str
    backbone: str
    layer: int
    work: str
    size: int


@dataclass(frozen=True)
class Stage:
    """One kind of work on one block of one backbone.

    work: the split or the sweep it is about. images: that pass through the backbone. read: bytes of
    activations. gpu_flops, cpu_flops: the same work done on either. precision: of the products on
    CUDA. written: bytes.
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

    def hours(self, speeds):
        """GPU-hours: the products at the assumed speed, or the reading where that takes longer.

        speeds: the config's section `planning`. Stages without products take no GPU.
        """
        if not self.gpu_flops:
            return 0.0
        seconds = self.gpu_flops / speeds[f"{self.precision}_flops"]
        return max(seconds, self.read / speeds["read_bytes"]) / 3600


# ---------------------------------------------------------------- images


def count_images(study, results):
    """Split name → Count: by the index below the folder `results`, the config, or as published."""
    return {
        f"{dataset}/{split}": _count(Path(results) / "index" / dataset, entry, split)
        for dataset, entry in study.config["datasets"].items()
        for split in entry["splits"]
    }


def _count(folder, entry, split):
    index, classes = folder / f"{split}.csv", folder / "classes.csv"
    if index.is_file() and classes.is_file():
        return Count(_rows(index), _rows(classes), "index")
    layout = None if entry["generated"] else entry["layout"]
    known_classes = PUBLISHED_CLASSES.get(layout, 0)
    if "images" in entry["splits"][split]:
        return Count(entry["splits"][split]["images"], known_classes, "config")
    images = PUBLISHED_IMAGES.get(layout, {}).get(split)
    return Count(images or 0, known_classes, "published" if images else "unknown")


def _rows(path):
    """Rows of a CSV file below its header."""
    with open(path, "rb") as handle:
        return sum(block.count(b"\n") for block in iter(lambda: handle.read(1 << 20), b"")) - 1


# ---------------------------------------------------------------- what is needed where


@dataclass
class Place:
    """One block of one backbone: the splits that are cached, and those that are reduced raw.

    Both are dictionaries for their keys' sake: each split once, in order.
    """

    backbone: str
    layer: int
    geometry: Geometry
    cached: dict
    reduced: dict


def places(study, geometries):
    """Every Place that the whole study needs; UserError when a backbone lacks one of the blocks."""
    found = {}

    def need(backbone, layer, cached, reduced):
        depth = len(geometries[backbone].flops)
        if layer >= depth:
            raise UserError(
                f"config: block {layer} of {backbone} is asked for, which has {depth} blocks, "
                f"numbered 0 to {depth - 1}; correct backbones.{backbone}.layer or the sweep's"
            )
        place = found.setdefault(
            (backbone, layer), Place(backbone, layer, geometries[backbone], {}, {})
        )
        if study.coarse:
            cached, reduced = study.splits(), study.encoded_splits()
        place.cached |= {split: None for split in cached if split.cached}
        place.reduced |= dict.fromkeys(reduced)

    for sweep in study.sweeps.values():
        encoded = encoded_by(study, sweep)
        masks = list(study.segmentation or ()) if sweep in study.downstream_sweeps else []
        for backbone, layer in sweep.layers.items():
            splits = [study.training, study.threshold, *encoded, *masks]
            need(backbone, layer, splits, encoded)
            if "monosemanticity" in sweep.metrics:
                evaluator = study.backbones[backbone]["evaluator"]
                own = study.backbones[evaluator]["layer"]
                need(evaluator, own, [study.training, study.evaluation], [study.evaluation])
    return list(found.values())


def encoded_by(study, sweep):
    """The splits that the SAEs of a sweep encode."""
    batches = [*study.encoding_batches(sweep), *study.streaming_batches(sweep)]
    return [split for _, splits in batches for split in splits]


# ---------------------------------------------------------------- files


def artefacts(study, geometries, counts):
    """Every large file of the study below `results/<study>`: a list of Artefact.

    geometries: backbone → Geometry. counts: split name → Count.
    """
    files = []
    for place in places(study, geometries):
        files += _cache_files(study, place, counts)
        files += _raw_files(study, place, counts)
    for sweep in study.sweeps.values():
        for backbone, layer in sweep.layers.items():
            for spec in sweep.saes:
                files += _sae_files(
                    study, sweep, backbone, layer, spec, geometries[backbone], counts
                )
    return files


def _cache_files(study, place, counts):
    chunk_images = study.config["extraction"]["chunk_images"]
    folder = f"activations/{place.backbone}/layer{place.layer}"
    patches, width = place.geometry.patches, place.geometry.width
    for split in place.cached:
        images = counts[split.name].images
        chunks = -(-images // chunk_images)
        for shard in range(split.shards):
            mine = chunks * (shard + 1) // split.shards - chunks * shard // split.shards
            # HDF5 stores whole chunks; a shard of fewer images has one chunk of its size.
            stored = mine * chunk_images if images > chunk_images else images
            size = stored * (patches * width * HALF + TEXT_BYTES) + mine * 2 * width * DOUBLE
            yield Artefact(
                f"{folder}/{split.name}/shard-{shard:05d}-of-{split.shards:05d}.h5",
                "extract",
                place.backbone,
                place.layer,
                split.name,
                size + FILE_BYTES,
            )
        yield Artefact(
            f"{folder}/{split.name}.h5",
            "join",
            place.backbone,
            place.layer,
            split.name,
            images * TEXT_BYTES + FILE_BYTES,
        )


def _raw_files(study, place, counts):
    minima, width = _minima(study), place.geometry.width
    for split in place.reduced:
        images = counts[split.name].images
        moran = 3 * minima * width * DOUBLE if split == study.evaluation else 0
        yield Artefact(
            f"reductions/{place.backbone}/layer{place.layer}/raw/{split.name}.h5",
            "reduce_raw",
            place.backbone,
            place.layer,
            split.name,
            images * (2 * width * SINGLE + TEXT_BYTES) + width * DOUBLE + moran + FILE_BYTES,
        )


def _sae_files(study, sweep, backbone, layer, spec, geometry, counts):
    place = f"{backbone}/layer{layer}/{spec.name}"
    width, features = geometry.width, spec.expansion_factor * geometry.width
    labels = (backbone, layer, sweep.name)
    per_feature = SINGLE if sweep.family == "jumprelu" else 0
    weights = features * (2 * width * SINGLE + SINGLE + per_feature) + width * SINGLE
    yield Artefact(f"saes/{place}/model.safetensors", "train", *labels, weights)
    minima = _minima(study)
    for split in encoded_by(study, sweep):
        images = counts[split.name].images
        moran = 3 * minima * features * DOUBLE if split == study.evaluation else 0
        # codes_max lies in chunks of up to 1024 images, which HDF5 stores whole.
        stored = -(-images // 1024) * 1024 if images > 1024 else images
        size = stored * features * HALF + images * (width * SINGLE + TEXT_BYTES)
        size += features * (DOUBLE + SINGLE) + moran + FILE_BYTES
        stage = "encode" if split.cached else "stream"
        yield Artefact(f"reductions/{place}/{split.name}.h5", stage, *labels, size)
    ranked = METRICS_OF_RANKINGS & set(sweep.metrics)
    for _, datasets in study.probe_batches(sweep) if ranked else []:
        for dataset in datasets:
            classes = counts[study.probe_splits(dataset)[0].name].classes
            size = (classes + 1) * min(1024, features) * SINGLE + FILE_BYTES
            yield Artefact(f"rankings/{place}/{dataset}.h5", "rank", *labels, size)


def _minima(study):
    return len(study.config["metrics"]["localization"]["minimum_active"])


def resume_sizes(study, geometries, outputs):
    """Path below `results/<study>` → bytes of the resumable checkpoints of training jobs.

    outputs: paths of weights below `results/<study>`; jobs that write none of them are left out.
    The sizes are those of the moment in which a new checkpoint takes the place of an old one.
    """
    sizes = {}
    for sweep in study.units():
        for job, names in [] if sweep.published else sweep.training_batches():
            factor = sum(spec.expansion_factor for spec in sweep.saes if spec.name in names)
            for backbone, layer in sweep.layers.items():
                folders = [f"saes/{backbone}/layer{layer}/{name}" for name in names]
                if not any(f"{folder}/model.safetensors" in outputs for folder in folders):
                    continue
                width = geometries[backbone].width
                state = ADAM_STATES * factor * width * (2 * width + 1) * SINGLE
                sizes[f"resume/{job}-{backbone}-layer{layer}"] = 2 * state
    return sizes


# ---------------------------------------------------------------- stages


def stages(study, geometries, counts):
    """The work of the whole study: a list of Stage, in the order in which it is done."""
    files = artefacts(study, geometries, counts)
    return [
        *_extraction(study, places(study, geometries), counts, files),
        *_training(study, geometries, counts, files),
        *_encoding(study, geometries, counts, files),
        *_ranking(study, files),
        *_segmentation(study, geometries, counts),
    ]


def _written(files, stage, backbone, layer, work):
    wanted = (stage, backbone, layer, work)
    return sum(f.size for f in files if (f.stage, f.backbone, f.layer, f.work) == wanted)


def _cache_bytes(geometry, images):
    return images * geometry.patches * geometry.width * HALF


def _extraction(study, all_places, counts, files):
    precision = study.config["extraction"]["precision"]
    rows = []
    for place in all_places:
        key, geometry = (place.backbone, place.layer), place.geometry
        for split in place.cached:
            images = counts[split.name].images
            work, read = images * geometry.flops[place.layer], _cache_bytes(geometry, images)
            written = _written(files, "extract", *key, split.name)
            rows.append(
                Stage("extract", *key, split.name, images, written, 0, work, work, precision)
            )
            written = _written(files, "join", *key, split.name)
            rows.append(Stage("join", *key, split.name, 0, written, read, 0, 0, precision))
        for split in place.reduced:
            images = counts[split.name].images
            written = _written(files, "reduce_raw", *key, split.name)
            work = 0 if split.cached else images * geometry.flops[place.layer]
            read = _cache_bytes(geometry, images) if split.cached else 0
            passed = 0 if split.cached else images
            rows.append(
                Stage("reduce_raw", *key, split.name, passed, written, read, work, work, precision)
            )
    return sorted(rows, key=lambda row: ("extract", "join", "reduce_raw").index(row.stage))


def _products(specs, width, passes):
    """FLOPs per token on CUDA and on the CPU: the encoder's product, and `passes` others.

    On the CPU these touch one row of the dictionary per active code, K of them (all features,
    where the family has no K).
    """
    gpu = sum((1 + passes) * 2 * width * s.expansion_factor * width for s in specs)
    cpu = sum(
        2 * width * (s.expansion_factor * width + passes * (s.k or s.expansion_factor * width))
        for s in specs
    )
    return gpu, int(cpu)


def _training(study, geometries, counts, files):
    precision, epochs = (study.config["training"][key] for key in ("precision", "epochs"))
    images = counts[study.training.name].images * epochs
    for sweep in study.sweeps.values():
        # Sweeps that are trained together share the reading; here each counts its own.
        for backbone, layer in sweep.layers.items():
            geometry = geometries[backbone]
            tokens = 0 if sweep.published else images * geometry.patches
            gpu, cpu = _products(sweep.saes, geometry.width, passes=4)
            written = _written(files, "train", backbone, layer, sweep.name)
            read = tokens * geometry.width * HALF
            yield Stage(
                "train",
                backbone,
                layer,
                sweep.name,
                0,
                written,
                read * sweep.batches,
                tokens * gpu,
                tokens * cpu,
                precision,
            )


def _encoding(study, geometries, counts, files):
    for stage in ("encode", "stream"):
        for sweep in study.sweeps.values():
            splits = [s for s in encoded_by(study, sweep) if s.cached == (stage == "encode")]
            images = sum(counts[split.name].images for split in splits)
            for backbone, layer in sweep.layers.items() if splits else []:
                geometry, key = geometries[backbone], (stage, backbone, layer, sweep.name)
                gpu, cpu = (
                    images * geometry.patches * work
                    for work in _products(sweep.saes, geometry.width, passes=1)
                )
                passed = images if stage == "stream" else 0
                forward = passed * geometry.flops[layer]
                read = _cache_bytes(geometry, images) if stage == "encode" else 0
                written = _written(files, *key)
                yield Stage(*key, passed, written, read, gpu + forward, cpu + forward, "float32")


def _ranking(study, files):
    for sweep in study.sweeps.values():
        for backbone, layer in sweep.layers.items():
            key = ("rank", backbone, layer, sweep.name)
            yield Stage(*key, 0, _written(files, *key), 0, 0, 0, "float32")


def _segmentation(study, geometries, counts):
    """Segmentation reads both caches once for every SAE, and encodes them without decoding."""
    for sweep in study.downstream_sweeps if study.segmentation else []:
        for backbone, layer in sweep.layers.items():
            geometry = geometries[backbone]
            images = sum(counts[split.name].images for split in study.segmentation)
            gpu, cpu = _products(sweep.saes, geometry.width, passes=0)
            tokens = images * geometry.patches
            read = len(sweep.saes) * _cache_bytes(geometry, images)
            key = ("segment", backbone, layer, sweep.name)
            yield Stage(*key, 0, 0, read, tokens * gpu, tokens * cpu, "float32")
