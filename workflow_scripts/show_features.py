"""Write the pages of SAEs: what their features respond to, and from patches to features."""

import os
from pathlib import Path

from visae.activations.opening import open_cache
from visae.activations.pictures import picture_activations
from visae.audit.lookup import look_up
from visae.audit.metrics import METRICS
from visae.audit.pages import write_pages
from visae.audit.values import values_of_features
from visae.base import paths
from visae.base.job import run
from visae.base.paths import FEATURE_FILES, backbone_and_layer
from visae.base.progress import counted
from visae.encoding.reductions import SaeReductions
from visae.images.decoding import load_image
from visae.images.index import read_index
from visae.sae.checkpoint import check_fits, load_sae
from visae.sae.folder import WEIGHTS


def body(snakemake):
    files, params = snakemake.input, snakemake.params
    results, _ = paths.of_job(snakemake)
    # First of all, since it is here that a file of the user's may be wrong.
    pictures = [(Path(path).name, load_image(path)) for path in params.settings["query_images"]]
    index, root = read_index(files.index, files.classes), Path(params.root)
    image_paths = {record.image_id: root / record.path for record in index.images}
    activations = _activations(pictures, params.backbones)
    for place, name, metrics in counted(params.saes, "SAEs shown", len(params.saes)):
        backbone, layer = backbone_and_layer(place)
        folder = Path(results.sae(name, place=place)).parent
        sae = load_sae(folder)
        with (
            open_cache(results.cache(params.split, place)) as cache,
            SaeReductions(results.reductions(name, params.split, place)) as reductions,
        ):
            check_fits(sae, cache.info, folder)
            scores = {metric: results.metric(name, metric, place=place) for metric in metrics}
            values = {
                METRICS[metric][0]: values_of_features(metric, score, reductions.features)
                for metric, score in scores.items()
            }
            inputs = [cache.path, reductions.path, folder / WEIGHTS, files.index, files.classes]
            inputs += scores.values()
            asked = [
                (*picture, tokens)
                for picture, tokens in zip(pictures, activations(backbone, layer), strict=True)
            ]
            findings = look_up(
                sae, cache, reductions, values, image_paths, asked, params.settings,
                params.settings["named"].get(f"{place}/{name}", []), params.seeds[backbone],
            )  # fmt: skip
            outputs = {f: results.features(name, f, place) for f in (*FEATURE_FILES, "images")}
            about = {
                "study": params.study,
                "sae": name,
                "backbone": backbone,
                "label": params.labels[backbone],
                "layer": layer,
                "split": params.split,
                "signed": sae.model.signed,
                "report": os.path.relpath(results.report(), Path(outputs["index.html"]).parent),
            }
            names = [record.class_name for record in index.classes]
            write_pages(outputs, about, findings, cache, image_paths, names, inputs)


def _activations(pictures, backbones):
    """A function of (backbone, layer): its activations of the pictures, in raster order."""
    built = {}

    def activations(backbone, layer):
        if not pictures:
            return []
        if backbone not in built:
            from visae.backbones import BackboneSpec, build_backbone

            settings = {key: value for key, value in backbones[backbone].items() if key != "code"}
            built.clear()
            built[backbone] = build_backbone(BackboneSpec(backbone, **settings))
        return picture_activations(built[backbone], layer, [picture for _, picture in pictures])

    return activations


run(body, snakemake)  # noqa: F821
