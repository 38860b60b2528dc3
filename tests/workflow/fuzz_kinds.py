"""The kinds of files that the library reads: how a small valid one is written, and its reader."""

import io
import json
import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
import scipy.io
import torch
import yaml
from cache_fixtures import random_activations, write_cache
from fuzz import Kind
from match_fixtures import match_card
from metric_fixtures import SAE
from PIL import Image
from safetensors.torch import save_file
from study_fixtures import ROOT, paper_config

from visae.activations.opening import open_cache
from visae.activations.permuted import write_permuted
from visae.activations.shards import join_shards
from visae.audit.cards import MATCHES, read_card, write_card
from visae.audit.examples import read_examples, write_examples
from visae.backbones.checkpoints import FORMAT as WEIGHTS_FORMAT
from visae.backbones.checkpoints import read_tensors
from visae.backbones.geometry import Geometry, read_geometries, write_geometries
from visae.base.errors import UserError
from visae.base.files import write_json, write_text
from visae.base.seals import (
    beside,
    read_document,
    write_beside,
    write_document,
    write_npz,
    write_tensors,
)
from visae.claims.printed import from_published
from visae.claims.verdicts import read_claims
from visae.encoding.reductions import (
    RawReductions,
    RawUnit,
    SaeReductions,
    SaeUnit,
    half_codes,
    write_raw_reductions,
    write_sae_reductions,
)
from visae.evals.localization.compute import localization
from visae.evals.provenance import provenance
from visae.evals.results import (
    ARRAYS_FORMAT,
    KIND,
    described,
    read_arrays,
    read_result,
    write_result,
)
from visae.figures import FORMAT as FIGURE_FORMAT
from visae.images import inventory
from visae.images.decoding import load_image, load_mask
from visae.images.index import (
    ClassRecord,
    ImageRecord,
    build_index,
    read_index,
    write_classes,
    write_images,
)
from visae.images.layouts import index_images
from visae.interface.study import OpenStudy
from visae.interventions.outcomes import read_outcomes, write_outcomes
from visae.pretraining import records
from visae.probing.multinomial import LinearProbe, read_probe, write_probe
from visae.probing.rankings import Rankings, read_rankings, write_rankings
from visae.probing.siblings import read_sibling_groups
from visae.probing.splits import read_split, write_split
from visae.report.curves import last_step, read_curves
from visae.report.figures_section import read_figures
from visae.report.provenance_section import _jobs
from visae.report.tables_section import read_tables
from visae.sae.checkpoint import load_sae, save_sae
from visae.sae.exchange.folder import Folder
from visae.sae.exchange.inspected import FORMAT as INSPECTED
from visae.sae.exchange.inspected import write_inspected
from visae.sae.folder import read_log
from visae.sae.model import SparseAutoencoder
from visae.sae.resume import load, save
from visae.study.config import write_config
from visae.tables import layout, scores, tidy
from visae.tables.matches import matches_table
from visae.tables.pretraining import pretraining_table
from visae.tables.published import read_published, read_recorded

IMAGES, FEATURES, WIDTH = 9, 6, 5
RANDOM = np.random.default_rng(0)
IDS = [f"image-ä{number}" for number in range(IMAGES)]
DTYPE = torch.float32


# ---------------------------------------------------------------- activations


def _cache(folder, kept=True):
    activations = random_activations(IMAGES, 4, WIDTH)
    return write_cache(folder / "cache", activations, shards=2, grid=(2, 2), kept=kept)


def _shard(folder):
    return next((_cache(folder).parent / "train").glob("shard-00000-*"))


def _measured_shard(folder):
    return next((_cache(folder, kept=False).parent / "train").glob("measured-00000-*"))


def _join_measured(path):
    joined, measured = path.parents[1] / "joined.h5", sorted(path.parent.glob("measured-*"))
    kept = [shard.with_name(shard.name.replace("measured", "shard")) for shard in measured]
    join_shards(kept, joined, statistics=True, measured=measured)
    with open_cache(joined, whole=False) as cache:
        return cache.fingerprint, cache.labels, cache.image_ids, cache.mean, cache.std


def _join(path):
    joined = path.parents[1] / "joined.h5"
    join_shards(sorted(path.parent.glob("shard-*")), joined, statistics=True)
    return _read_cache(joined)


def _permuted(folder):
    write_permuted(folder / "permuted.h5", _cache(folder), "control", seed=3)
    return folder / "permuted.h5"


def _read_cache(path):
    with open_cache(path) as cache:
        chunks = [cache.read_chunk(number) for number in range(len(cache.chunks))]
        about = cache.info, cache.labels, cache.image_ids, cache.skipped_ids, cache.fingerprint
        return *about, cache.mean, cache.std, chunks


# ---------------------------------------------------------------- what passes leave


def _source(images=IMAGES) -> Any:
    info = SimpleNamespace(grid=(2, 2), width=WIDTH, dataset="digits")
    return SimpleNamespace(path="none", images=images, tokens=4 * images, fingerprint="cache",
                           labels=np.arange(images) % 2, image_ids=IDS, info=info,
                           files=())  # fmt: skip


def _sae_reductions(folder):
    codes = np.abs(RANDOM.normal(size=(IMAGES, FEATURES))).astype(np.float32)
    unit = SaeUnit(
        codes_max=codes,
        codes_half=half_codes(codes),
        reconstructions_max=RANDOM.normal(size=(IMAGES, WIDTH)).astype(np.float32),
        firing_count=RANDOM.integers(1, 9, FEATURES),
        squared_error=1.5,
        residual_sum=-0.25,
        moran_sum=RANDOM.normal(size=(2, 3, FEATURES)),
        moran_images=RANDOM.integers(0, 9, (3, FEATURES)),
    )
    path, about = folder / "reductions.h5", {"sae": "toy", "sae_fingerprint": "abc"}
    with write_sae_reductions(path, _source(), FEATURES, [1, 5, 20], 1e-8, about) as writer:
        writer.add(unit)
    return path


_OPEN = ("_file", "_parts")
"""What open reductions hold of their file."""


def _read_sae_reductions(path):
    with SaeReductions(path) as found:
        about = {name: value for name, value in vars(found).items() if name not in _OPEN}
        return about, found.codes[:], found.reconstructions_max()


def _raw_reductions(folder):
    x_npd = RANDOM.normal(size=(IMAGES, 4, WIDTH))
    unit = RawUnit(
        features_max=x_npd.max(axis=1).astype(np.float32),
        embeddings=x_npd.mean(axis=1).astype(np.float32),
        tokens=IMAGES * 4,
        token_mean=x_npd.mean(axis=(0, 1)),
        total_squares=12.5,
        moran_sum=RANDOM.normal(size=(2, 1, WIDTH)),
        moran_images=RANDOM.integers(0, 9, (1, WIDTH)),
    )
    path = folder / "raw.h5"
    with write_raw_reductions(path, _source(), [1], 1e-8, {}) as writer:
        writer.add(unit)
    return path


def _read_raw_reductions(path):
    with RawReductions(path) as found:
        about = {name: value for name, value in vars(found).items() if name not in _OPEN}
        return about, found.features_max(), found.embeddings()


def _rankings(folder):
    order = np.arange(FEATURES, dtype=np.int32)
    several = np.stack([order, order[::-1]])
    tasks = np.array([[0, 0], [1, 0]])
    ranked = Rankings(several, np.array([0, 1]), order, several[:, :4], tasks, order[::-1],
                      several[:, :4], tasks)  # fmt: skip
    write_rankings(folder / "digits.h5", ranked)
    return folder / "digits.h5"


def _examples(folder):
    example = {
        "feature": 3,
        "moran": 0.25,
        "image_ids": IDS[:2],
        "maps": np.ones((2, 2, 2), np.float32),
        "images": np.full((2, 8, 8, 3), 7, np.uint8),
    }
    about = {"backbone": "toy", "sae": "toy", "split": "test"}
    write_examples(folder / "examples.h5", {"high": example, "low": example}, about)
    return folder / "examples.h5"


def _matches(folder):
    path, found = folder / "matches/a+b/card.json", match_card("a/layer1/s", "b/layer1/s")
    write_card(path, MATCHES, found, np.full((8, 8, 3), 7, np.uint8))
    return path


def _probe(folder):
    coef = RANDOM.normal(size=(3, WIDTH)).astype(np.float32)
    write_probe(folder / "probe.npz", LinearProbe(coef, np.ones(3), np.arange(3), "toy", True))
    return folder / "probe.npz"


def _outcomes(folder):
    about = {"backbone": "toy", "layer": 3, "sae": "toy", "blocks_left": 2, "patches": 4}
    row = {
        "class": "äll", "feature": 3, "correlation": 0.5, "chosen": "rule", "edit": "feature",
        "seed": 0, "strength": -1.5, "target": 4, "target_changed": 3, "other": 9,
        "other_changed": 1, "probability_before": 0.75, "probability_after": 0.25,
    }  # fmt: skip
    task = {"dataset": "digits", "kind": "segmentation", "head": "patches", "classes": 2,
            "accuracy": 0.5, "units": 13, "untold": ["none"], "rows": [row, row]}  # fmt: skip
    write_outcomes(folder / "outcomes.json", about, [task])
    return folder / "outcomes.json"


def _result(folder):
    path = folder / "localization.json"
    about = described("toy", 3, "batchtopk_16x_k128", "main")
    moran = np.broadcast_to(100 * np.linspace(-0.1, 0.5, FEATURES), (2, 1, FEATURES))
    found = localization(moran, np.full((1, FEATURES), 100), [5], (8, 8))
    origin = provenance("c0de", {"sae": "0" * 16}, {"a": 1})
    write_result(path, "localization", found, about, origin)
    return path


def _arrays(folder):
    arrays = {"features": np.arange(5), "monosemanticity": np.linspace(0, 1, 5)}
    path = folder / "monosemanticity.npz"
    write_npz(path, ARRAYS_FORMAT, arrays)
    write_document(path.with_suffix(".json"), KIND, {"metric": "monosemanticity"}, arrays=path)
    return path


# ---------------------------------------------------------------- SAEs


def _sae(folder):
    generator = torch.Generator().manual_seed(0)
    model = SparseAutoencoder(
        torch.randn(15, WIDTH, generator=generator),
        torch.randn(15, generator=generator),
        torch.nn.functional.normalize(torch.randn(15, WIDTH, generator=generator), dim=1),
        torch.tensor(0.25),
        torch.randn(WIDTH, generator=generator),
        torch.tensor(1.5),
    )
    config = {"name": "batchtopk_3x_k3", "k": 3, "sparsity": 3, "expansion_factor": 3,
              "input_dim": WIDTH, "hidden_dim": 15, "activation": "batchtopk",
              "data": {"backbone": "toy", "layer": 3}}  # fmt: skip
    log = [{"step": 2 * n, "tokens": 20 * n, "loss": 0.5 / n, "l0": 3.0, "dead_fraction": 0.25}
           for n in (1, 2, 3)]  # fmt: skip
    save_sae(folder / "sae", model, config, log)
    return folder / "sae"


def _read_sae(path):
    saved = load_sae(path.parent)
    return saved.model.tensors(), vars(saved.model).get("k"), saved.config, saved.fingerprint


def _log_of(path):
    return last_step(path), read_curves(path), read_log(path)


def _checkpoint(folder):
    save(folder / "state.safetensors", "abc", {"w": torch.arange(6.0), "step": 3, "log": [1.5]})
    return folder / "state.safetensors"


def _resumed(path):

    if (state := load(path, "abc", lambda _: None)) is None:
        raise UserError("ignored")
    return state


TENSORS = {"blocks.0.weight": torch.arange(12.0).reshape(3, 4), "blocks.0.bias": torch.ones(3)}


def _weights(name, write):
    def make(folder):
        write(folder / name)
        return folder / name

    return make


def _read_weights(path):
    weights = path.parent / "model.safetensors.index.json" if "-of-" in path.name else path
    return read_tensors(SimpleNamespace(weights=str(weights), name="toy"))


def _pretrained(folder):
    write_tensors(folder / "weights.safetensors", WEIGHTS_FORMAT, TENSORS)
    return folder / "weights.safetensors"


def _script(path):
    module = torch.jit.script(torch.nn.Linear(4, 3))
    torch.jit.save(module, str(path))


def _shards(path):
    save_file(TENSORS, path.parent / "model-00001-of-00001.safetensors")
    names = dict.fromkeys(TENSORS, "model-00001-of-00001.safetensors")
    write_json(path, {"metadata": {"total_size": 60}, "weight_map": names})


FOREIGN = {
    "encoder.weight": torch.ones(6, WIDTH),
    "encoder.bias": torch.arange(6.0),
    "decoder.weight": torch.ones(6, WIDTH),
    "_running_threshold": torch.tensor(0.5),
}
FOREIGN_CONFIG = {"activation": "batchtopk", "k": 4, "threshold": 0.25, "names": ["a", "b"]}


def _foreign(weights, config):
    def make(folder):
        if weights.endswith(".pt"):
            torch.save({"state_dict": FOREIGN, "step": 3}, folder / weights)
        else:
            save_file(FOREIGN, folder / weights)
        dump = json.dumps if config.endswith(".json") else yaml.safe_dump
        (folder / config).write_text(dump(FOREIGN_CONFIG))
        return folder

    return make


def _read_foreign(path):
    folder = Folder(path.parent)
    return folder.tensors, folder.values, folder.config, folder.header


# ---------------------------------------------------------------- data sets


def _index(folder):
    images = [ImageRecord(IDS[n], f"test/{n}.png", n % 4, f"c{n % 4}") for n in range(IMAGES)]
    classes = [ClassRecord(n, f"c{n}", "äll" if n < 3 else "") for n in range(4)]
    index = build_index(images, classes, "the fuzz test")
    write_images(folder / "test.csv", index)
    write_classes(folder / "classes.csv", index)
    return folder


def _read_index(path):
    return read_index(path.parent / "test.csv", path.parent / "classes.csv")


def _split(folder):
    write_split(folder / "probe_split.csv", IDS, np.arange(IMAGES) % 3 == 0)
    return folder / "probe_split.csv"


def _inventory(folder):
    _pictures(folder)
    records = [ImageRecord("one", "images/one.png", 0, "c0")]
    inventory.write(folder / "inventory.tsv", inventory.take(folder, records, ("*.txt",)))
    return folder / "inventory.tsv"


def _pictures(folder):
    """A photograph, a mask and a list."""
    (folder / "images").mkdir(exist_ok=True)
    pixels = RANDOM.integers(0, 255, (12, 16, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "images/one.png")
    Image.fromarray(pixels).save(folder / "images/one.jpg")
    Image.fromarray(pixels).save(folder / "images/one.webp", lossless=True)
    Image.fromarray(pixels).save(folder / "images/one.tif")
    Image.fromarray(pixels[..., 0] % 5).save(folder / "images/mask.png")
    write_text(folder / "list.txt", "one\n")
    return folder


def _picture(name):
    return lambda folder: _pictures(folder) / "images" / name


def _read_image(path):
    return np.asarray(load_image(path))


def _read_mask(path):
    return load_mask(path, 5)


def _put(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


WNIDS = ("n01440764", "n01443537", "n02119789")


def _imagenet(file):
    def make(root):
        _put(root, *(f"train/{w}/{w}_{k}.JPEG" for w in WNIDS for k in (9, 10)))
        _put(root, *(f"val/ILSVRC2012_val_{k:08d}.JPEG" for k in (1, 2, 3)))
        data = root / "ILSVRC2012_devkit_t12/data"
        write_text(data / "ILSVRC2012_validation_ground_truth.txt", "1\n3\n1\n")
        kinds = [("ILSVRC2012_ID", object), ("WNID", object), ("num_children", object)]
        rows = [(1, WNIDS[2], 0), (2, WNIDS[0], 0), (3, WNIDS[1], 0), (9, "n00001740", 3)]
        synsets = np.array(rows, dtype=kinds).reshape(-1, 1)
        scipy.io.savemat(data / "meta.mat", {"synsets": synsets})
        write_text(root / "parents.csv", "".join(f"{a},{b}\n" for a, b in
                   (("class", "parent"), (WNIDS[0], "fish"), (WNIDS[1], "fish"))))  # fmt: skip
        if file.startswith("LOC"):
            lines = [f"ILSVRC2012_val_{k:08d},{WNIDS[k - 1]} 85 1 499 272" for k in (2, 3, 1)]
            write_text(root / file, "\n".join(["ImageId,PredictionString", *lines, ""]))
        return root / file

    return make


def _cub(file):
    def make(root):
        paths = ("001.Albatross/A_1.jpg", "002.Crow/C_1.jpg", "002.Crow/C_2.jpg")
        _put(root / "images", *paths)
        lists = {
            "images.txt": paths,
            "image_class_labels.txt": "122",
            "train_test_split.txt": "011",
            "classes.txt": ("001.Albatross", "002.Crow"),
        }
        for name, values in lists.items():
            write_text(root / name, "".join(f"{n} {v}\n" for n, v in enumerate(values, start=1)))
        return root / file

    return make


def _dtd(root):
    for part, number in (("train", 1), ("val", 2), ("test", 3)):
        paths = [f"{name}/{name}_{number:04d}.jpg" for name in ("banded", "dotted")]
        _put(root / "images", *paths)
        write_text(root / f"labels/{part}1.txt", "\n".join(paths) + "\n")
    return root / "labels/train1.txt"


SPECIES = [f"0000{n}_Animalia_Chordata_Aves_Passeriformes_Corvidae_Corvus_c{n}" for n in range(2)]


def _inaturalist(root):
    paths = [f"val/{name}/{name[:5]}.jpg" for name in SPECIES]
    _put(root, *paths)
    content = {
        "images": [{"id": n, "file_name": path} for n, path in enumerate(paths)],
        "annotations": [{"image_id": n, "category_id": n, "id": n} for n in range(2)],
        "categories": [{"id": n, "image_dir_name": name} for n, name in enumerate(SPECIES)],
    }
    write_json(root / "val.json", content)
    return root / "val.json"


def _huggingface(file):
    def make(root):
        folder = root / "test"
        folder.mkdir(exist_ok=True)
        image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        schema = pyarrow.schema([("image", image), ("label", pyarrow.int64())])
        _pictures(root)
        content = (root / "images/one.png").read_bytes()
        rows = [{"image": {"bytes": content, "path": f"{n}"}, "label": n % 2} for n in range(4)]
        with pyarrow.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), schema) as writer:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
        features = {
            "image": {"_type": "Image"},
            "label": {"_type": "ClassLabel", "names": ["a", "b"]},
        }
        write_json(folder / "dataset_info.json", {"features": features, "splits": None})
        files = [{"filename": "data-00000-of-00001.arrow"}]
        write_json(folder / "state.json", {"_data_files": files, "_split": None})
        return folder / file

    return make


def _read_huggingface(path):
    root = path.parents[1]
    index = index_images("huggingface", root, "test")
    return index, [np.asarray(load_image(root / record.path)) for record in index.images]


def _ade20k(root):
    _put(root, "images/training/a.jpg", "annotations/training/a.png")
    lines = ["Idx\tRatio\tName", *(f"{n}\t0.1\tthing {n}" for n in range(1, 151)), ""]
    write_text(root / "objectInfo150.txt", "\n".join(lines))
    return root / "objectInfo150.txt"


def _indexed(layout, split, depth=0):
    return lambda path: index_images(layout, path.parents[depth], split)


# ---------------------------------------------------------------- tables, claims, studies


def _score_rows():
    rows = []
    for sparsity in (64, 128):
        name = f"batchtopk_16x_k{sparsity}"
        about = SAE | {"sae": name, "sparsity": sparsity, "k": sparsity, "metric": "fvu"}
        about["warnings"] = None
        about.pop("name")
        for reading, value in (("headline", 0.25 * sparsity), ("l0", None)):
            head = reading == "headline"
            rows.append(about | {"reading": reading, "value": value, "definition": "share, left",
                                 "reason": None, "higher_is_better": False if head else None,
                                 "task": "t", "representation": "codes"})  # fmt: skip
    return rows


def _scores(folder):
    table = tidy.scores_table(_score_rows())
    layout.write(table, {"csv": folder / "scores.csv"})
    layout.write(table, {"json": folder / "table_3.json"})
    origin = {"same": {"a": "b"}, "versions": {"x": {"1": 2}}}
    scores.write_origin(folder / "scores.origin.json", origin)
    return folder


def _downstream(folder):
    layout.write(tidy.downstream_table(_score_rows()), {"csv": folder / "downstream.csv"})
    return folder / "downstream.csv"


def _figure(folder):
    picture = io.BytesIO()
    Image.new("RGB", (60, 30), (5, 9, 9)).save(picture, "PNG")
    write_beside(folder / "figure_1a.png", FIGURE_FORMAT, picture.getvalue())
    return folder / "figure_1a.png"


def _benchmark(folder):
    path = folder / "benchmarks/train/main.tsv"
    write_text(path, "s\tmax_rss\tcpu_time\n1.5\t5\t1\n60\t512.25\t90\n")
    return path


def _sanity(folder):
    path = folder / "study/pretraining/toy/sanity.json"
    numbers = {"probe_accuracy": 0.5, "effective_rank": 12.5}
    names = ("steps", "batch_size", "evaluation_images")
    values = ("gain", "gain_standard_error", "first_loss", "last_loss")
    same = {"backbone": "toy", "objective": "dino"} | dict.fromkeys(names, 3)
    same |= dict.fromkeys(values, 0.5) | {"random": numbers, "pretrained": numbers}
    records.write_sanity(path, same)
    return path


def _pretraining_log(folder):
    records.write_log(folder / "log.jsonl", [{"step": n, "loss": 0.5 / (n + 1)} for n in range(3)])
    return folder / "log.jsonl"


def _geometry(folder):
    key = json.dumps({"loader": "timm", "model": "toy"}, sort_keys=True)
    write_geometries(folder / "geometry.json", {key: Geometry(4, WIDTH, (10, 20))})
    return folder / "geometry.json"


def _read_geometries(path):
    """What is damaged is passed over, and measured again."""
    found = read_geometries(path)
    if not found:
        raise UserError("measured again")
    return found


def _inspected(folder):
    found = {"batchtopk_16x_k8": {"library": "sae_lens", "code": "0" * 16}}
    write_inspected(folder / "inspected.json", "1" * 16, found)
    return folder / "inspected.json"


def _shipped(name):
    def make(folder):
        shutil.copy(ROOT / "resources" / name, folder / name)
        return folder / name

    return make


def _study(folder):
    path = folder / "study/config.yaml"
    write_config(paper_config(), path)
    return path


def _read_study(path):
    study = OpenStudy(path.parent).study
    return study.config


KINDS = (
    Kind("shard", _shard, _join),
    Kind("shard without activations", _measured_shard, _join_measured),
    Kind("cache", _cache, _read_cache),
    Kind("view of a cache", _permuted, _read_cache),
    Kind("reductions", _sae_reductions, _read_sae_reductions),
    Kind("raw reductions", _raw_reductions, _read_raw_reductions),
    Kind("rankings", _rankings, read_rankings),
    Kind("examples", _examples, read_examples),
    Kind("card of matches", _matches,
         lambda path: (read_card(path, MATCHES), matches_table([path], {}))),
    Kind("picture of matches", lambda folder: _matches(folder).with_suffix(".webp"),
         lambda path: read_card(path.with_suffix(".json"), MATCHES)),
    Kind("probe", _probe, read_probe),
    Kind("outcomes of interventions", _outcomes, read_outcomes),
    Kind("score", _result, read_result),
    Kind("arrays", _arrays, lambda path: read_arrays(path.with_suffix(".json"))),
    Kind("SAE weights", lambda folder: _sae(folder) / "model.safetensors", _read_sae),
    Kind("SAE config", lambda folder: _sae(folder) / "config.yaml", _read_sae),
    Kind("training log", lambda folder: _sae(folder) / "training.jsonl", _log_of),
    Kind("training checkpoint", _checkpoint, _resumed),
    Kind("weights, safetensors", _weights("model.safetensors",
         lambda path: save_file(TENSORS, path)), _read_weights, False),
    Kind("weights, .pt", _weights("w.pt", lambda path: torch.save(TENSORS, path)), _read_weights),
    Kind("weights, old .pt", _weights("w.pth", lambda path: torch.save(
         TENSORS, path, _use_new_zipfile_serialization=False)), _read_weights, False),
    Kind("weights, TorchScript", _weights("script.pt", _script), _read_weights),
    Kind("weights, index", _weights("model.safetensors.index.json", _shards), _read_weights, False),
    Kind("foreign SAE, safetensors", lambda folder: _foreign("sae.safetensors", "cfg.json")(folder)
         / "sae.safetensors", _read_foreign, False),
    Kind("foreign SAE, .pt", lambda folder: _foreign("sae.pt", "config.json")(folder) / "sae.pt",
         _read_foreign),
    Kind("foreign config, JSON", lambda folder: _foreign("sae.pt", "config.json")(folder)
         / "config.json", _read_foreign, False),
    Kind("foreign config, YAML", lambda folder: _foreign("sae.pt", "config.yaml")(folder)
         / "config.yaml", _read_foreign, False),
    Kind("inspected SAEs", _inspected, lambda path: read_document(path, INSPECTED)),
    Kind("index", lambda folder: _index(folder) / "test.csv", _read_index),
    Kind("classes", lambda folder: _index(folder) / "classes.csv", _read_index),
    Kind("classes, siblings", lambda folder: _index(folder) / "classes.csv", read_sibling_groups),
    Kind("split", _split, lambda path: read_split(path, IDS)),
    Kind("inventory", _inventory, inventory.read),
    Kind("PNG", _picture("one.png"), _read_image),
    Kind("JPEG", _picture("one.jpg"), _read_image, False),
    Kind("WebP", _picture("one.webp"), _read_image, False),
    Kind("TIFF", _picture("one.tif"), _read_image, False),
    Kind("mask", _picture("mask.png"), _read_mask),
    Kind("ImageNet, parents", _imagenet("parents.csv"), _indexed("imagenet", "val"), False),
    Kind("ImageNet, Kaggle", _imagenet("LOC_val_solution.csv"), _indexed("imagenet", "val"), False),
    Kind("ImageNet, labels",
         _imagenet("ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"),
         _indexed("imagenet", "val", 2), False),
    Kind("ImageNet, meta.mat", _imagenet("ILSVRC2012_devkit_t12/data/meta.mat"),
         _indexed("imagenet", "val", 2), False),
    *(Kind(f"CUB, {name}", _cub(f"{name}.txt"), _indexed("cub_200_2011", "test"), False)
      for name in ("images", "image_class_labels", "train_test_split", "classes")),
    Kind("DTD, list", _dtd, _indexed("dtd", "train1", 1), False),
    Kind("iNaturalist, JSON", _inaturalist, _indexed("inaturalist_2021", "val"), False),
    Kind("Hugging Face, info", _huggingface("dataset_info.json"), _read_huggingface, False),
    Kind("Hugging Face, state", _huggingface("state.json"), _read_huggingface, False),
    Kind("Hugging Face, Arrow", _huggingface("data-00000-of-00001.arrow"), _read_huggingface,
         False),
    Kind("ADE20K, classes", _ade20k, _indexed("ade20k", "training"), False),
    Kind("tidy scores", lambda folder: _scores(folder) / "scores.csv", scores.read_scores),
    Kind("tidy tasks", _downstream, tidy.read_rows),
    Kind("tidy scores, report", lambda folder: _scores(folder) / "scores.csv",
         lambda path: read_tables([], [path])),
    Kind("table, JSON", lambda folder: _scores(folder) / "table_3.json", layout.read),
    Kind("origin", lambda folder: _scores(folder) / "scores.origin.json",
         lambda path: scores.origin_of_sweeps([path.parent / "scores.csv"] * 2)),
    Kind("figure, PNG", _figure,
         lambda path: read_figures([path], {"figure_1a": ("x", "")})),
    Kind("benchmark", _benchmark, lambda path: _jobs(path.parents[1]), False),
    Kind("pretraining, sanity", _sanity, lambda path: pretraining_table([path])),
    Kind("pretraining, log", _pretraining_log, records.read_log),
    Kind("seal beside", lambda folder: beside(_split(folder)),
         lambda path: read_split(path.with_suffix(""), IDS)),
    Kind("pretrained weights", _pretrained, _read_weights),
    Kind("geometry", _geometry, _read_geometries),
    Kind("published values", _shipped("published_values.csv"),
         lambda path: (read_published(path), read_recorded(path)), False),
    Kind("printed values", _shipped("published_values.csv"), from_published, False),
    Kind("claims", _shipped("claims.yaml"), read_claims, False),
    Kind("study's config", _study, _read_study),
)  # fmt: skip
"""Every kind once; in tests some are read with fewer mutations than others."""
