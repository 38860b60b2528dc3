"""Match the features of pairs of SAEs, and write a page of each pair."""

import os
from contextlib import ExitStack
from pathlib import Path

from visae.audit.match_pages import write_match_page
from visae.audit.matches import find_matches
from visae.audit.sides import Side
from visae.base import paths
from visae.base.job import run
from visae.base.paths import MATCH_FILES
from visae.base.progress import counted
from visae.images.index import read_index
from visae.sae.checkpoint import check_fits, load_sae
from visae.sae.folder import WEIGHTS


def body(snakemake):
    files, params = snakemake.input, snakemake.params
    results, _ = paths.of_job(snakemake)
    index, root = read_index(files.index, files.classes), Path(params.root)
    image_paths = {record.image_id: root / record.path for record in index.images}
    names = [record.class_name for record in index.classes]
    with ExitStack() as opened:
        sides, inputs = {}, {}
        for name, about in params.saes.items():
            folder = Path(results.sae(about["sae"], place=about["place"])).parent
            read = [
                results.cache(params.split, about["place"]),
                results.reductions(about["sae"], params.split, about["place"]),
            ]
            sae = load_sae(folder)
            sides[name] = opened.enter_context(Side(name, sae, *read, about["seed"]))
            check_fits(sae, sides[name].cache.info, folder)
            inputs[name] = [*read, folder / WEIGHTS]
        for pair in counted(params.pairs, "pairs of SAEs matched", len(params.pairs)):
            both = [sides[name] for name in pair]
            findings = find_matches(*both, params.settings, params.seed, snakemake.threads)
            outputs = {file: results.matches(*pair, file) for file in (*MATCH_FILES, "images")}
            here = Path(outputs["index.html"]).parent
            shown = ("sae", "backbone", "label", "layer")
            about = {
                "study": params.study,
                "split": params.split,
                "report": os.path.relpath(results.report(), here),
                **{key: params.settings[key] for key in ("quantile", "shuffles")},
                "sides": [
                    {key: params.saes[name][key] for key in shown}
                    | {"page": _seen_from(here, params.saes[name]["page"])}
                    for name in pair
                ],
            }
            made_of = [*inputs[pair[0]], *inputs[pair[1]], files.index, files.classes]
            write_match_page(outputs, about, both, findings, image_paths, names, made_of)


def _seen_from(folder, path):
    return os.path.relpath(path, folder) if path else None


run(body, snakemake)  # noqa: F821
