"""A small study's files, written by hand, and the page that is made of them."""

import io
import json
from types import SimpleNamespace

import numpy as np
import torch
import yaml
from PIL import Image
from study_fixtures import ROOT
from workflow_fixtures import tiny_config

from visae.base.files import write_text
from visae.base.seals import write_beside, write_document, write_npz, write_tensors
from visae.encoding.reductions import SaeUnit, half_codes, write_sae_reductions
from visae.evals.localization.compute import localization
from visae.evals.provenance import provenance
from visae.evals.results import ARRAYS_FORMAT, FORMAT, KIND, described, load, write_result
from visae.figures import FORMAT as FIGURE_FORMAT
from visae.images.index import ClassRecord, ImageRecord, build_index, write_classes, write_images
from visae.report.page import Sources, build
from visae.report.saes import SaeFiles
from visae.sae.folder import FORMAT as SAE_FORMAT
from visae.study.study import Study
from visae.tables import tidy, variance
from visae.tables.layout import Column, Table, write
from visae.tables.scores import read_scores

IMAGES, FEATURES = 12, 40
HOSTILE = '<script>alert("claim")</script> & more'
UNDEFINED = "every image has the same label, so that nothing can be told apart"
CAPTIONS = {
    "evaluators": ("every space", ""),
    "figure_1a": ("a first figure", "n = 2 SAEs, one per arm."),
    "figure_4": ("a much later figure", "n = 4 SAEs of sweep main."),
}


def colour(image):
    """The colour of the image of this number: all are told apart after WebP's loss."""
    return (20 + 19 * image, 240 - 19 * image, 60 + 90 * (image % 3))


NOT_MADE = {
    "figure_9": ("figure", "what there is not", "compares backbones, and there is one"),
}


def codes_of(sae):
    """Planted codes [F, N] of the SAE of this number: image (f + i + sae) mod N comes i-th."""
    rows = np.arange(FEATURES)[:, None]
    ranks = (np.arange(IMAGES) - rows - sae) % IMAGES
    return np.float32(8.0) / (1 + ranks)


def write_study(folder, **changes):
    """(study, sources) of a study with two backbones and two SAEs each; changes: of its config."""
    config = tiny_config(**changes)
    config["datasets"]["photographs"]["root"] = str(folder / "images")
    study = Study(config)
    index = _images(folder)
    files, scores = {}, []
    for number, sae in enumerate(study.saes()):
        place = folder / f"{sae.backbone}" / sae.spec.name
        about = described(sae.backbone, sae.layer, sae.spec.name, sae.sweep)
        localization = _localization(place, about, number)
        scores += [localization, _fvu(place, about, undefined=number == 0)]
        files[sae.place, sae.name] = SaeFiles(
            _log(place, number, sae.backbone),
            _reductions(place, index, number),
            {"localization": localization, "monosemanticity": _monosemanticity(place, number)},
        )
    tables = _tables(folder, scores)
    write_text(folder / "benchmarks/train/main.tsv", "s\tmax_rss\tcpu_time\n1\t5\t1\n60\t512\t90\n")
    write_text(folder / "benchmarks/quick.tsv", "s\tmax_rss\tcpu_time\n0.04\tNA\t-\n")
    sources = Sources(
        figures=[_figure(folder, name) for name in CAPTIONS],
        tables=[path for path in tables if path.suffix == ".json"],
        tidy=[path for path in tables if path.suffix == ".csv"],
        saes=dict(reversed(files.items())),  # by name, whatever the order
        sae_configs=[own.log.parent / "config.yaml" for own in list(files.values())[::2]],
        index=folder / "val.csv",
        classes=folder / "classes.csv",
        claims=ROOT / "resources/claims.yaml",
        published=ROOT / "resources/published_values.csv",
        contradictions=ROOT / "docs/inconsistencies.md",
        benchmarks=folder / "benchmarks",
        cards={},
        matches={},
        edited={},
    )
    return study, sources


def build_page(study, sources):
    """The page of `write_study`."""
    return build(study, sources, CAPTIONS, NOT_MADE)


def _images(folder):
    records = []
    for number in range(IMAGES):
        path = folder / "images" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 80), colour(number)).save(path)
        records.append(ImageRecord(f"image_{number:02d}", path.name, number % 2, f"c{number % 2}"))
    index = build_index(records, [ClassRecord(0, "c0"), ClassRecord(1, "c1")], "the test")
    write_images(folder / "val.csv", index)
    write_classes(folder / "classes.csv", index)
    return index


def _localization(place, about, number):
    moran = 100.0 * np.linspace(-0.1, 0.5 + 0.01 * number, FEATURES)
    score = localization(
        np.broadcast_to(moran, (2, 1, FEATURES)), np.full((1, FEATURES), 100), [5], (8, 8)
    )
    inputs = {"sae": f"{number:016d}", "activations of photographs/val": "0123456789abcdef"}
    origin = provenance("c0de", inputs, {})
    write_result(place / "localization.json", "localization", score, about, origin)
    return place / "localization.json"


def _monosemanticity(place, number):
    scored = np.arange(0, FEATURES, 2)
    values = np.linspace(0.2, 0.9, len(scored)) + 0.001 * number
    arrays = {"features": scored, "monosemanticity": values}
    write_npz(place / "monosemanticity.npz", ARRAYS_FORMAT, arrays)
    path = place / "monosemanticity.json"
    write_document(path, KIND, {"metric": "monosemanticity"}, arrays=path.with_suffix(".npz"))
    return path


def _fvu(place, about, undefined):
    found = {"value": None, "reason": UNDEFINED} if undefined else {"value": 0.25, "reason": None}
    content = {
        **{
            "format": FORMAT,
            "metric": "fvu",
            "definition": "share of variance left over",
            "sae": about,
        },
        **{"higher_is_better": False, "readings": {"l0": 8.0, "dead": None}},
    }
    write_document(place / "fvu.json", KIND, content | found)
    return place / "fvu.json"


def _reductions(place, index, number):
    cache = SimpleNamespace(
        path="none",
        files=(),
        images=IMAGES,
        tokens=IMAGES * 64,
        labels=np.array([record.label for record in index.images]),
        image_ids=[record.image_id for record in index.images],
        fingerprint="cache",
        info=SimpleNamespace(grid=(8, 8), width=4, dataset="photographs"),
    )
    unit = SaeUnit(
        codes_max=np.ascontiguousarray(codes_of(number).T, np.float32),
        codes_half=half_codes(codes_of(number).T),
        reconstructions_max=np.zeros((IMAGES, 4), np.float32),
        firing_count=np.ones(FEATURES, np.int64),
        squared_error=1.0,
        residual_sum=0.0,
        moran_sum=np.zeros((2, 1, FEATURES)),
        moran_images=np.zeros((1, FEATURES), np.int64),
    )
    attributes = {"sae": place.name, "sae_fingerprint": "sae"}
    path = place / "reductions.h5"
    with write_sae_reductions(path, cache, FEATURES, [5], 1e-8, attributes) as writer:
        writer.add(unit)
    return path


def _log(place, number, backbone):
    """Loss falls tenfold per window, L0 is constant; the last SAE was imported.

    Beside it are the config and weights, which are not looked at.
    """
    windows = [
        {"step": 100 * (i + 1), "tokens": i, "loss": 10.0**-i, "l0": 8.0, "dead_fraction": i / 4}
        for i in range(3)
    ]
    text = "" if number == 3 else "".join(json.dumps(window) + "\n" for window in windows)
    return write_log(place, text, yaml.safe_dump({"format": SAE_FORMAT, "data": _data(backbone)}))


def write_log(place, text, config=""):
    """Write the texts of an SAE's folder and stand-ins for its weights; the path of the log."""
    texts = {"training.jsonl": text, "config.yaml": config}
    write_tensors(place / "model.safetensors", SAE_FORMAT, {"none": torch.zeros(1)}, beside=texts)
    return place / "training.jsonl"


def _data(backbone):
    return {
        **{"backbone": backbone, "layer": 3, "model": "vit", "weights_fingerprint": "feed"},
        **{"token_order": "raster", "dataset": "photographs", "split": "train", "images": 1296},
        "cache_fingerprint": "beef",
    }


def _tables(folder, scores):
    """scores and a long table as CSV; table_3, a table with gaps and claims as JSON."""
    folder = folder / "tables"
    rows = [row for path in scores for row in tidy._rows(load(path))]
    write(tidy.scores_table(rows), {"csv": folder / "scores.csv"})
    long = Table(
        "long",
        (Column("number", "Number"), Column("reason", "Reason"), Column("text", "Text")),
        [
            {"number": None if i == 7 else i % 100 + 0.5, "reason": "seven" if i == 7 else None,
             "text": f'row {i}, "quoted"'}
            for i in range(700)
        ],
    )  # fmt: skip
    write(long, {"csv": folder / "downstream.csv"})
    rows = read_scores(folder / "scores.csv")
    write(variance.table_3(rows, "main"), {"json": folder / "table_3.json"})
    gaps = Table(
        "Table 1: a | b",
        (Column("name", "Name"), Column("value", "η²", digits=2), Column("reason", "reason")),
        [
            {"name": "ten", "value": 10.126, "reason": None},
            {"name": "none", "value": None, "reason": UNDEFINED},
            {"name": "two", "value": -2.0, "reason": None},
        ],
        ("A note.",),
    )
    write(gaps, {"json": folder / "table_1.json"})
    names = ("id", "claim", "place", "published", "found", "difference", "verdict", "rule")
    claims = Table(
        "The paper's claims",
        tuple(Column(name, name) for name in (*names, "reason")),
        [
            _claim("one", HOSTILE, "0.5", "0.4", "−0.1", "differs"),
            _claim("two", "Second.", "3", "3", "0", "reproduced"),
            _claim("three", "Third.", "1", None, None, "not computable here", UNDEFINED),
        ],
    )
    write(claims, {"json": folder / "claims.json"})
    return sorted(folder.iterdir())


def _claim(name, claim, published, found, difference, verdict, reason=None):
    return {
        **{"id": name, "claim": claim, "place": "Sec. 1", "published": published, "found": found},
        **{"difference": difference, "verdict": verdict, "rule": "= 3", "reason": reason},
    }


def _figure(folder, name):
    path = folder / "figures" / f"{name}.png"
    content = io.BytesIO()
    Image.new("RGB", (600, 300), (len(CAPTIONS[name][0]), 9, 9)).save(content, "png")
    write_beside(path, FIGURE_FORMAT, content.getvalue())
    return path
