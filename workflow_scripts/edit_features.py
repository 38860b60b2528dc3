"""Edit features of SAEs inside of their backbones, and see what heads on top of these say then."""

import os
from pathlib import Path

from visae.activations.extraction import cache_info
from visae.activations.format import CacheInfo
from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.continuing import Continuation
from visae.base import paths
from visae.base.devices import take_device
from visae.base.job import run
from visae.base.paths import INTERVENTION_FILES, backbone_and_layer
from visae.evals.segmentation.heads import HeadSettings
from visae.images.index import read_index
from visae.interventions.editing import edit_sae
from visae.interventions.tasks import classification_task, segmentation_task
from visae.probing.splits import read_split
from visae.sae.checkpoint import check_fits, load_sae
from visae.sae.folder import WEIGHTS


def body(snakemake):
    params, device = snakemake.params, take_device()
    results, _ = paths.of_job(snakemake)
    skip = snakemake.config.get("on_bad_image", "fail") == "skip"
    built, tasks = None, []
    for place, name, named in params.saes:
        backbone_name, layer = backbone_and_layer(place)
        if built is None or built.spec.name != backbone_name:
            settings = params.backbones[backbone_name]
            built = build_backbone(BackboneSpec(backbone_name, **settings)).to(device)
            tasks = list(_tasks(results, params, built, snakemake.threads, skip))
        folder = Path(results.sae(name, place=place)).parent
        saved = load_sae(folder)
        check_fits(saved, _info(results, params, built, layer), folder)
        files = {f: results.interventions(name, f, place) for f in (*INTERVENTION_FILES, "images")}
        about = {
            "study": params.study,
            "place": place,
            "sae": name,
            "backbone": backbone_name,
            "label": params.labels[backbone_name],
            "layer": layer,
            "report": _seen_from(files["index.html"], results.report()),
            "pages": _seen_from(files["index.html"], results.features(name, "", place))
            if [place, name] in params.pages
            else None,
        }
        edit_sae(
            Continuation(built, layer), saved.model, tasks, params.settings,
            HeadSettings(**params.head), named, about, files, params.seed, device,
            [folder / WEIGHTS, built.spec.weights, *snakemake.input.indices,
             *snakemake.input.classes, *snakemake.input.probe_split],
        )  # fmt: skip


def _tasks(results, params, backbone, threads, skip):
    """The tasks of all data sets, with the folder of the test images."""
    for dataset, (train, test, root, kind) in params.tasks.items():
        of_train, of_test = (read_index(*results.index_and_classes(s)) for s in (train, test))
        if kind == "segmentation":
            task = segmentation_task(
                dataset, of_train, of_test, root, backbone.transform, backbone.grid,
                params.settings, threads, skip,
            )  # fmt: skip
        else:
            if train == test:
                of_train, of_test = _divided(results.probe_split(dataset), of_train)
            task = classification_task(
                dataset, of_train, of_test, (root, root), backbone.transform, params.settings,
                threads, skip,
            )  # fmt: skip
        yield task, root


def _divided(path, index):
    """The training and the test part of the evaluation split."""
    test_n = read_split(path, [record.image_id for record in index.images])
    parts = [
        tuple(r for r, test in zip(index.images, test_n, strict=True) if test == wanted)
        for wanted in (False, True)
    ]
    return [index._replace(images=part) for part in parts]


def _info(results, params, backbone, layer):
    """What a cache of the activations would say of itself."""
    split, *_ = next(iter(params.tasks.values()))
    index = read_index(*results.index_and_classes(split))
    dataset, _, part = split.partition("/")
    info = cache_info(backbone, layer, dataset, part, index, chunk_images=1)
    return CacheInfo.from_attributes(info.attributes())  # tuples have become lists


def _seen_from(page, target):
    return os.path.relpath(target, Path(page).parent)


run(body, snakemake)  # noqa: F821
