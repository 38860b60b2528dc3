"""The large files of a study with their sizes, which follow docs/formats.md."""

from dataclasses import dataclass

from visae.backbones.geometry import Geometry
from visae.backbones.storage import STORAGES
from visae.base import paths
from visae.evals.entry import SAES
from visae.evals.shelf import reads
from visae.sae.families import FAMILIES
from visae.study import jobs, roles
from visae.study.checks import check_block
from visae.study.evals import of_moran
from visae.study.parts import Split
from visae.study.places import needed

HALF, SINGLE, DOUBLE = 2, 4, 8
TEXT_BYTES = 100
"""Of an image's id (60 to 145, by its length) and its label in a cache."""
ID_BYTES = 50
"""The same in reductions, where ids are as long as the longest (33 to 62 in the demo)."""
FILE_BYTES = 7_500
"""Of an HDF5 file around its arrays: headers, attributes, seal, index."""
ROWS, COLUMNS = 64, 1024
"""Images per HDF5 chunk of arrays with a row, and with a column, per image."""
FEATURES, VALUES = 16, 65_536
"""Features per chunk of pooled codes, and active codes per HDF5 chunk, in a large file."""
ADAM_STATES = 3
"""A resumable checkpoint holds the weights and Adam's two moments."""


@dataclass(frozen=True)
class Artefact:
    """A file that the study writes. size: bytes. split: the one whose images it holds, if any."""

    path: str
    stage: str
    backbone: str
    layer: int
    work: str
    size: int
    split: Split | None = None


@dataclass(frozen=True)
class Place:
    """One block of one backbone: the splits that have a cache, and those that are reduced raw.

    storage: which activations of it are kept. view: whether its caches are views of those of
    another backbone.
    """

    backbone: str
    layer: int
    storage: str
    geometry: Geometry
    cached: list
    reduced: list
    view: bool

    @property
    def name(self):
        return paths.place(self.backbone, self.layer)


def places(study, geometries):
    """Every Place that the whole study needs; UserError when a backbone lacks one of the blocks."""
    found, views = [], roles.views(study)
    for needs in needed(study):
        geometry = geometries[needs.backbone]
        check_block(study, needs.backbone, needs.layer, geometry)
        splits = list(needs.cached), list(needs.reduced)
        block = needs.backbone, needs.layer, needs.storage
        found.append(Place(*block, geometry, *splits, needs.backbone in views))
    return found


def artefacts(study, geometries, counts):
    """Every large file of the study: a list of Artefact.

    geometries: backbone → Geometry. counts: split name → Count.
    """
    files = []
    for place in places(study, geometries):
        files += _cache_files(study, place, counts)
        files += _raw_files(study, place, counts)
    for sae in study.saes():
        files += _sae_files(study, sae, geometries[sae.backbone], counts)
    return files


def number_bytes(study, backbone):
    """Bytes of one activation in a backbone's caches."""
    return STORAGES[study.backbones[backbone]["storage"]].bytes


def _cache_files(study, place, counts):
    chunk_images = study.config["extraction"]["chunk_images"]
    patches, width = place.geometry.patches, place.geometry.width
    number = number_bytes(study, place.backbone)
    for split in place.cached:
        images = counts[split.name].images
        labels = (place.backbone, place.layer, split.name)
        joined = study.paths.cache(split.name, place.name)
        if place.view:
            yield Artefact(joined, "permute", *labels, FILE_BYTES, split)
            continue
        kept, chunks = split.cached_in(place.storage), -(-images // chunk_images)
        for shard in range(split.shards):
            mine = chunks * (shard + 1) // split.shards - chunks * shard // split.shards
            # A shard of fewer images has one chunk of its size.
            stored = mine * chunk_images if images > chunk_images else images
            size = stored * (patches * width * number * kept + TEXT_BYTES)
            size += mine * 2 * width * DOUBLE
            path = study.paths.shard(split.name, shard, split.shards, place.name, kept)
            yield Artefact(path, "extract", *labels, size + FILE_BYTES, split)
        yield Artefact(joined, "join", *labels, images * TEXT_BYTES + FILE_BYTES, split)


def _raw_files(study, place, counts):
    minima, width = _minima(study), place.geometry.width
    for split in place.reduced:
        images = counts[split.name].images
        moran = 3 * minima * width * DOUBLE if split == study.evaluation else 0
        size = 2 * _stored(images, ROWS) * width * SINGLE + images * ID_BYTES
        size += width * DOUBLE + moran + FILE_BYTES
        path = study.paths.reductions(paths.RAW, split.name, place.name)
        labels = (place.backbone, place.layer, split.name)
        yield Artefact(path, "reduce_raw", *labels, size, split)


def _sae_files(study, sae, geometry, counts):
    sweep, width = study.sweeps[sae.sweep], geometry.width
    features = sae.spec.features(width)
    labels = (sae.backbone, sae.layer, sae.sweep)
    per_feature = SINGLE if FAMILIES[sae.spec.family].threshold.per_feature else 0
    weights = features * (2 * width * SINGLE + SINGLE + per_feature) + width * SINGLE
    yield Artefact(study.paths.sae(sae.name, place=sae.place), "train", *labels, weights)
    minima = _minima(study)
    for split in study.encoded_splits(sweep):
        images = counts[split.name].images
        moran = 3 * minima * features * DOUBLE if split == study.evaluation else 0
        active = active_features(study, sae.spec, width, geometry.patches)
        size = sparse_bytes(features, images, round(active * images))
        size += _stored(images, ROWS) * width * SINGLE + images * ID_BYTES
        largest = min(16, images) * (SINGLE + DOUBLE) + SINGLE
        size += features * (DOUBLE + largest) + moran + FILE_BYTES
        stage = "encode" if split.cached_in(sweep.storage) else "stream"
        path = study.paths.reductions(sae.name, split.name, sae.place)
        yield Artefact(path, stage, *labels, size, split)
    ranked = reads(sweep.metrics, SAES, "rankings")
    for dataset in study.probe_datasets(sweep) if ranked else []:
        classes = counts[study.probe_splits(dataset)[0].name].classes
        size = (classes + 1) * min(1024, features) * SINGLE + FILE_BYTES
        path = study.paths.rankings(sae.name, dataset, sae.place)
        yield Artefact(path, "rank", *labels, size)


def active_features(study, spec, width, patches):
    """Features of an SAE that are active on an image, as far as its sparsity tells; else all.

    Of K codes per patch those of one feature lie on an assumed share of the patches (`planning`).
    """
    features = spec.features(width)
    share = max(study.config["planning"]["active_patches"], 1 / patches)
    return features if spec.k is None else min(features, spec.k / share)


def sparse_bytes(features, images, active):
    """Bytes of pooled codes of which so many are active: a bit for each, and the active ones."""
    columns, rows = min(COLUMNS, images), min(FEATURES, features)
    blocks, groups = -(-images // COLUMNS), -(-features // FEATURES)
    chunk = min(VALUES, max(1024, features * images // 64))
    bits = blocks * -(-columns // 8) * groups * rows
    # A checksum of bits, one of values, and where those end.
    return bits + -(-active // chunk) * chunk * HALF + blocks * groups * (2 * SINGLE + DOUBLE)


def _stored(images, chunk):
    """The images that HDF5 stores: it writes whole chunks, of which a small array has one."""
    return -(-images // chunk) * chunk if images > chunk else images


def _minima(study):
    return len(of_moran(study)["minimum_active"])


def resume_files(study, geometries, outputs):
    """The resumable checkpoints of training jobs: a list of Artefact.

    outputs: paths of weights; jobs that write none of them are left out. The sizes are those of
    the moment in which a new checkpoint takes the place of an old one.
    """
    files, groups = [], jobs.trained_together(study)
    for sweep in groups:
        for job, specs in jobs.training(sweep, groups):
            factor = sum(spec.expansion_factor for spec in specs)
            for backbone, layer in sweep.layers.items():
                place = paths.place(backbone, layer)
                if outputs.isdisjoint(study.paths.sae(spec.name, place=place) for spec in specs):
                    continue
                width = geometries[backbone].width
                size = 2 * ADAM_STATES * factor * width * (2 * width + 1) * SINGLE
                path = study.paths.resume(job, place)
                files.append(Artefact(path, "resume", backbone, layer, sweep.name, size))
    return files
