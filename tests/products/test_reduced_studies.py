"""Studies that lack something: each product is made of what there is, or says what it lacks."""

import json
from pathlib import Path

import numpy as np
import pytest
from match_fixtures import match_card
from study_fixtures import demo_config

from visae.audit.cards import MATCHES, write_card
from visae.audit.choice import KINDS as EXAMPLE_KINDS
from visae.audit.examples import write_examples
from visae.base.paths import RAW, backbone_and_layer
from visae.base.seals import write_tensors
from visae.encoding.reductions import RawUnit, write_raw_reductions
from visae.evals.results import described
from visae.evals.shelf import EVALS, null_results
from visae.products import PRODUCTS
from visae.sae.folder import FORMAT
from visae.study import roles
from visae.study.study import Study
from visae.tables.layout import write
from visae.tables.scores import write_origin
from visae.tables.tidy import absent_rows, downstream_table, scores_table


def one_backbone(config):
    first = next(iter(config["backbones"]))
    config["backbones"] = {first: config["backbones"][first] | {"evaluator": "outside"}} | {
        "outside": config["backbones"]["clip_small"]
    }
    for name in ("layer_1", "token_order"):
        config["sweeps"].pop(name, None)
    for sweep in config["sweeps"].values():
        sweep["backbones"] = [first]


def two_backbones(config):
    names = ("dino_small", "clip_small")
    config["backbones"] = {name: config["backbones"][name] for name in names}
    config["sweeps"] = {"main": config["sweeps"]["main"] | {"backbones": list(names)}}


def one_sae(config):
    config["sweeps"]["main"]["grid"] = {"expansion_factor": [2], "k": [8]}
    for name in list(config["sweeps"])[1:]:
        del config["sweeps"][name]


def one_sweep(config):
    config["sweeps"] = {"main": config["sweeps"]["main"]}


def one_data_set(config):
    config["datasets"] = {"photographs": config["datasets"]["photographs"]}
    config["metrics"].pop("cross_domain")
    config["downstream"] = None
    config["interventions"] = {}


def one_metric(metric):
    def reduce(config):
        for sweep in config["sweeps"].values():
            sweep["metrics"] = [metric]
        config["downstream"], config["interventions"] = None, {}
        for entry in config["backbones"].values():
            if metric != "monosemanticity":
                entry["evaluator"] = None

    return reduce


def without_labels(config):
    config["datasets"]["photographs"]["labels"] = "none"
    for entry in config["backbones"].values():
        entry.pop("pretraining", None)
        if str(entry["weights"]).startswith("results/"):
            entry["weights"] = "random"


def without_labels_of_m6(config):
    config["datasets"]["digits"]["labels"] = "none"


def no_matches(config):
    config["matches"] = None


def claims_all_the_same(config):
    config["report"] = {"claims": "always"}


REDUCTIONS = {
    "whole": [],
    "one backbone": [one_backbone],
    "one SAE": [one_sae],
    "one SAE of one backbone": [one_backbone, one_sae],
    "one sweep": [one_sweep],
    "one data set": [one_data_set],
    "no matches": [no_matches],
    "M1 alone": [one_metric("localization")],
    "M2 alone": [one_metric("fvu")],
    "M4 alone": [one_metric("sparse_probing")],
    "M5 alone": [one_metric("monosemanticity")],
    "no labels": [without_labels],
    "no labels of M6": [without_labels_of_m6],
    "no labels, two backbones": [without_labels, two_backbones],
    "no labels, one backbone": [without_labels, one_backbone],
    "no labels, one SAE of one backbone, one data set": [
        *(without_labels, one_data_set, one_backbone, one_sae),
    ],
    "one SAE of one backbone with M2 alone": [one_backbone, one_sae, one_metric("fvu")],
    "claims without labels of one backbone": [without_labels, one_backbone, claims_all_the_same],
    "claims of one SAE": [one_backbone, one_sae, one_data_set, claims_all_the_same],
}


@pytest.fixture(params=REDUCTIONS)
def study(request):
    config = demo_config()
    for reduce in REDUCTIONS[request.param]:
        reduce(config)
    return Study(config)


def lacking(study):
    return {name: product.missing(study) for name, product in PRODUCTS.entries().items()}


# ---------------------------------------------------------------- by what entries say


def test_the_whole_study_lacks_nothing_but_replicates():
    reasons = {reason for reason in lacking(Study(demo_config())).values() if reason}
    assert reasons == {
        "needs replicates of the study, with other seeds of its pretraining",
        "needs several SAEs of one configuration: a sweep with a variant, or with own SAEs",
        "needs a sweep with SAEs of your own (`saes` in the config)",
    }


def test_reasons_are_clauses(study):
    for reason in filter(None, lacking(study).values()):
        assert reason.startswith(("needs ", "compares "))
        assert not reason.endswith(".")


def test_what_is_made_reads_what_is_made(study):
    reasons = lacking(study)
    of_products = {
        path: name
        for name, product in PRODUCTS.entries().items()
        for path in product.files(name, study.paths).values()
    }
    for name, reason in reasons.items():
        if reason is None:
            for path in files(PRODUCTS[name].reads(study, study.paths)):
                assert reasons.get(of_products.get(path)) is None, (name, path)


def test_nothing_is_read_of_what_is_not_scored(study):
    """A score that is read is one of a sweep's metrics; `downstream` is there with tasks only."""
    scored = {
        study.paths.metric(sae.name, metric, suffix, sae.place, variant)
        for sae in study.saes()
        for metric in study.sweeps[sae.sweep].metrics
        for suffix in ("json", "npz")
        for variant in ("", *(f"{name}/" for name in EVALS[metric].variants))
    }
    for name, reason in lacking(study).items():
        if reason is None:
            for path in files(PRODUCTS[name].reads(study, study.paths)):
                assert not path.startswith(study.paths.results + "/metrics") or path in scored, name
                assert path != study.paths.table("downstream") or study.tasks(), name


def files(inputs):
    return [p for value in inputs.values() for p in ([value] if isinstance(value, str) else value)]


# ---------------------------------------------------------------- by making them of planted scores


PLANTED = (
    "one SAE of one backbone",
    "no labels, two backbones",
    "claims without labels of one backbone",
)


@pytest.mark.parametrize("name", PLANTED)
def test_what_needs_tables_only_is_made(name, tmp_path, monkeypatch):
    """Of planted scores, tables of tasks, training logs, raw features and examples."""
    config = demo_config()
    for reduce in REDUCTIONS[name]:
        reduce(config)
    study = Study(config)
    for shipped in ("resources/published_values.csv", "resources/claims.yaml"):
        (tmp_path / shipped).parent.mkdir(exist_ok=True)
        (tmp_path / shipped).symlink_to(Path(shipped).resolve())
    monkeypatch.chdir(tmp_path)
    plant(study)
    left = [name for name, reason in lacking(study).items() if reason is None]
    made = {}
    while ready := [name for name in left if all(map(exists, reads(name, study)))]:
        for name in ready:
            left.remove(name)
            product = PRODUCTS[name]
            making = PRODUCTS.module(name, "make").make
            made[name] = making(product.reads(study, study.paths), product.settings(study))
            if product.kind == "table":
                write(made[name], product.files(name, study.paths))
    # What reads arrays of scores, or backbones that the study pretrains, is not planted here.
    assert set(left) <= {
        *("figure_1b", "evaluators_table", "evaluators_figure"),
        *("token_order_table", "token_order_figure", "pretraining_table", "pretraining_figure"),
    }
    assert {"table_1", "table_2", "table_4", "backbone_means", "training_curves"} <= set(made)


def exists(path):
    return Path(path).exists()


def reads(name, study):
    return files(PRODUCTS[name].reads(study, study.paths))


def plant(study):
    paths, random = study.paths, np.random.default_rng(3)
    everything = []
    for sweep in study.sweeps.values():
        saes = [described(s.backbone, s.layer, s.spec.text, s.sweep) for s in study.saes(sweep)]
        rows = absent_rows(saes, null_results(dict.fromkeys(sweep.metrics, "planted")))
        rows = [row | {"value": float(random.random()), "reason": None} for row in rows]
        rows += absent_rows(saes, null_results(sweep.absent))
        everything += rows
        write(scores_table(rows), {"csv": paths.scores(sweep.name)})
        write_origin(paths.scores(sweep.name, "origin.json"), {"same": {}, "versions": {}})
    write(scores_table(everything), {"csv": paths.scores()})
    sources = [
        described(*backbone_and_layer(place), spec, sweep.name if spec else None)
        for sweep in study.downstream_sweeps
        for place in sweep.places
        for spec in (None, *(each.text for each in sweep.saes))
    ]
    tasks = [
        {
            **{k: source[k]
               for k in ("backbone", "layer", "family", "expansion_factor", "sparsity", "k",
                         "sweep")},
            **{"sae": source["name"], "task": task, "representation": representation,
               "reading": "headline", "value": float(random.random()), "reason": None,
               "definition": "planted", "warnings": None},
        }
        for source in sources
        for task in study.tasks()
        for representation in (["raw"] if source["name"] == RAW else ["reconstructed", "codes"])
    ]  # fmt: skip
    if study.tasks():
        write(downstream_table(tasks), {"csv": paths.table("downstream")})
    window = {
        "step": 10,
        "tokens": 640,
        "loss": 0.5,
        "l0": 8.0,
        "dead_fraction": 0.1,
        "clipped_fraction": 0.0,
    }
    for sae in study.saes():
        about = {"format": FORMAT, "input_dim": 32, "data": {"backbone": sae.backbone}}
        sizes = "activation", "expansion_factor", "sparsity"
        about |= dict(zip(sizes, vars(sae.spec).values(), strict=False)) | {"name": sae.name}
        texts = {
            "training.jsonl": json.dumps(window) + "\n",
            "config.yaml": json.dumps(about),
        }
        write_tensors(paths.sae(sae.name, place=sae.place), FORMAT, {}, beside=texts)
    for left, right in roles.matched(study):
        pair = left.full_name, right.full_name
        card = match_card(*pair, patches=random.random() < 0.5)
        write_card(paths.matches(*pair, "card.json"), MATCHES, card, np.zeros((1, 1, 3), np.uint8))
    main = roles.main(study)
    for backbone, layer in main.layers.items():
        place = f"{backbone}/layer{layer}"
        plant_raw(paths.reductions(RAW, study.evaluation.name, place), random)
        example = {
            **{"feature": 3, "moran": 0.4, "image_ids": ["a"]},
            "maps": random.random((1, 4, 4), np.float32),
            "images": np.zeros((1, 16, 16, 3), np.uint8),
        }
        audited = roles.audited(study).name
        write_examples(
            paths.examples(audited, place),
            dict.fromkeys(EXAMPLE_KINDS, example),
            {"backbone": backbone, "layer": layer, "sae": audited},
        )


def plant_raw(path, random, images=4, width=8):
    from types import SimpleNamespace

    source = SimpleNamespace(
        **{"path": "planted", "images": images, "tokens": images * 16, "fingerprint": "cache"},
        files=(),
        labels=np.full(images, -1),
        image_ids=[str(image) for image in range(images)],
        info=SimpleNamespace(grid=(4, 4), width=width, dataset="photographs"),
    )
    unit = RawUnit(
        features_max=random.random((images, width), np.float32),
        embeddings=random.random((images, width), np.float32),
        tokens=images * 16,
        token_mean=np.zeros(width),
        total_squares=1.0,
        moran_sum=np.full((2, 3, width), 20.0),
        moran_images=np.full((3, width), 100),
    )
    with write_raw_reductions(path, source, [5, 1, 20], 1e-8, {}) as writer:
        writer.add(unit)
