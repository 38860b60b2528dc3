"""The large files of a study with their sizes, which follow docs/formats.md."""

from dataclasses import dataclass

from visae.backbones.geometry import Geometry
from visae.base.errors import UserError

HALF, SINGLE, DOUBLE = 2, 4, 8
TEXT_BYTES = 100
"""Of an image's id (60 to 145, by its length) and its label in an HDF5 file."""
FILE_BYTES = 6_000
"""Of an HDF5 file around its arrays: headers, attributes, index."""
ADAM_STATES = 3
"""A resumable checkpoint holds the weights and Adam's two moments."""

METRICS_OF_RANKINGS = {"sparse_probing", "cross_domain", "absorption"}


@dataclass(frozen=True)
class Artefact:
    """A file that the study writes, or a group of files in one folder. size: bytes."""

    path: str
    stage: str
    backbone: str
    layer: int
    work: str
    size: int


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
            reduced = study.encoded_splits()
        for _, together in study.extraction_batches():
            place.cached |= dict.fromkeys(together if set(together) & set(cached) else [])
        place.reduced |= dict.fromkeys(reduced)

    for sweep in study.sweeps.values():
        encoded = study.encoded_splits(sweep)
        masks = list(study.segmentation or ()) if sweep in study.downstream_sweeps else []
        for backbone, layer in sweep.layers.items():
            splits = [study.training, study.threshold, *encoded, *masks]
            need(backbone, layer, splits, encoded)
            if "monosemanticity" in sweep.metrics:
                evaluator = study.backbones[backbone]["evaluator"]
                own = study.backbones[evaluator]["layer"]
                need(evaluator, own, [study.training, study.evaluation], [study.evaluation])
    return list(found.values())


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
    for split in study.encoded_splits(sweep):
        images = counts[split.name].images
        moran = 3 * minima * features * DOUBLE if split == study.evaluation else 0
        # codes_max lies in chunks of up to 1024 images, which HDF5 stores whole.
        stored = -(-images // 1024) * 1024 if images > 1024 else images
        size = stored * features * HALF + images * (width * SINGLE + TEXT_BYTES)
        size += features * (DOUBLE + SINGLE) + moran + FILE_BYTES
        stage = "encode" if split.cached else "stream"
        yield Artefact(f"reductions/{place}/{split.name}.h5", stage, *labels, size)
    ranked = METRICS_OF_RANKINGS & set(sweep.metrics)
    for dataset in study.probe_datasets(sweep) if ranked else []:
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
