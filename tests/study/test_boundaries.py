"""Where a rule of a study begins to hold, and which of several equal ones it takes."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from study_fixtures import change, demo_config, kept_config, paper_config

from visae.base.errors import UserError
from visae.base.paths import Paths
from visae.sae.specs import SaeSpec
from visae.study import checks, config_files, jobs, own_saes, places, roles
from visae.study import config as configs
from visae.study.study import Study

# ---------------------------------------------------------------- configs


def test_defaults_are_filled_in_at_any_depth_and_through_references():
    schema = {
        "$defs": {"size": {"type": "integer", "default": 3}},
        "properties": {
            "a": {"$ref": "#/$defs/size"},
            "b": {"items": {"properties": {"c": {"default": [1]}}}},
            "d": {"type": "integer"},
        },
        "additionalProperties": {"properties": {"e": {"default": None}, "f": {}}},
    }
    given = {"b": [{}, {"c": 2}, 7], "own": {"f": 1}, "word": "x"}
    kept = yaml.safe_dump(given)
    found = configs._with_defaults(given, schema, schema)
    assert found == {
        "a": 3, "b": [{"c": [1]}, {"c": 2}, 7], "own": {"e": None, "f": 1}, "word": "x"
    }  # fmt: skip
    assert yaml.safe_dump(given) == kept
    assert configs._with_defaults({"a": 0}, schema, schema) == {"a": 0}


def test_the_keys_of_a_schema_stand_in_its_order_and_others_as_people_wrote_or_by_name():
    known = {"properties": {"z": {}, "a": {}}}
    options = {"properties": {"own": {"type": "object", "additionalProperties": {}}}}
    named = {"propertyNames": {}, "additionalProperties": {"type": "integer"}}
    objects = {"additionalProperties": {"type": "object"}}
    for schema, keys, order in [
        (known, "azb", "zab"),
        (known, "cab", "abc"),
        (options["properties"]["own"], "cab", "abc"),
        (named, "cab", "cab"),
        (objects, "cab", "cab"),
    ]:
        value = {key: {} if schema is objects else 1 for key in keys}
        assert "".join(configs._canonical(value, schema, schema)) == order
    assert configs._canonical({"x": 2.0}, named, named) == {"x": 2}
    assert type(configs._canonical({"x": 2.0}, known, known)["x"]) is float
    listed = {"items": {"type": "integer"}}
    assert repr(configs._canonical((4.0, 1e3), listed, listed)) == "[4, 1000]"
    assert configs._types({"anyOf": [{"type": "null"}, {"type": ["integer", "string"]}]}) == {
        "null", "integer", "string"
    }  # fmt: skip


def test_a_config_is_written_with_its_keys_and_letters_as_they_are(tmp_path):
    path = tmp_path / "config.yaml"
    configs.write_config({"z": 1, "a": {"y": "é", "b": 2}}, path)
    assert path.read_text("utf-8") == "z: 1\na:\n  y: é\n  b: 2\n"
    assert configs.read_config(path) == {"z": 1, "a": {"y": "é", "b": 2}}
    with pytest.raises(UserError, match=f"^{tmp_path} holds no study .config.yml is missing"):
        configs.read_config(tmp_path / "config.yml")


def test_backbones_without_a_seed_have_0():
    config = {"study": "s", "backbones": {"a": {}, "b": {"seed": 4}}}
    seeds = [entry["seed"] for entry in configs.replicated(config, 3)["backbones"].values()]
    assert seeds == [2000, 2004]


def test_an_unknown_arm_is_told_of_those_that_there_are():
    config = {"sweeps": {"main": {}}, "arms": {"a": {}, "b": {}}}
    with pytest.raises(UserError, match="'c' is not in arms; known: one of a, b"):
        configs.switched(config, "c")
    del config["arms"]
    with pytest.raises(UserError, match="known: none, since"):
        configs.switched(config, "c")


def test_paths_are_written_out_where_the_schema_says_so(monkeypatch):
    monkeypatch.setenv("WHERE", "/there")
    path = {"format": "path"}
    schema = {"properties": {"a": path, "b": {"additionalProperties": path}, "c": {}}}
    given = {"a": "$WHERE/x", "b": {"own": "${WHERE}"}, "c": "$WHERE", "d": ["$WHERE"]}
    found = configs._with_paths(given, schema, schema, ())
    assert found == {"a": "/there/x", "b": {"own": "/there"}, "c": "$WHERE", "d": ["$WHERE"]}
    with pytest.raises(UserError, match=r"config: b\.own is '\$NOWHERE/y', but \$NOWHERE is not"):
        configs._with_paths({"b": {"own": "$NOWHERE/y"}}, schema, schema, ())


# ---------------------------------------------------------------- config files


def test_places_in_lists_and_mappings():
    root = yaml.compose("a: [5, 6]\nb: {c: 7}\n3: x")
    assert [node.value for node in config_files._child(root, "3")] == ["3", "x"]
    listed = config_files._child(root, "a")[1]
    assert [[n.value for n in config_files._child(listed, k) or ()] for k in ("0", "1", "2")] == [
        ["5", "5"], ["6", "6"], []
    ]  # fmt: skip
    for node, key in [(listed, "x"), (listed, "-1"), (root, "d"), (listed.value[0], "0")]:
        assert config_files._child(node, key) is None


def test_what_an_alias_repeats_is_looked_at_once_and_without_end():
    root = yaml.compose("a: &x {k: {l: 1}}\nb: *x\nc: [*x, {m: 2}]\n")
    found = [mapping.start_mark.line for mapping in config_files._mappings(root)]
    assert found == [0, 0, 0, 2]
    root = yaml.compose("a: &x {k: [*x]}\n")
    assert len(list(config_files._mappings(root))) == 2
    assert list(config_files._mappings(None)) == []


def test_the_line_of_a_byte_that_is_no_utf8_is_counted_from_the_first(tmp_path):
    path = tmp_path / "my.yaml"
    for before, line in ((b"", 1), (b"\n", 2), (b"\na: 1\nb: ", 3)):
        path.write_bytes(before + b"\xff\n\n")
        with pytest.raises(UserError, match=rf"my\.yaml, line {line}: the byte 0xff"):
            config_files.read_config(path)


# ---------------------------------------------------------------- parts and their checks


@pytest.mark.parametrize(
    ("shares", "more"),
    [((0.7, 0.2, 0.1), 1e-12), ((0.1,) * 10, 1e-12), ((0.5, 0.25), 0.250000000001)],
)
def test_shares_that_are_one_on_paper_are_no_more(shares, more):
    config = demo_config()
    splits = {f"s{i}": {"share": share} for i, share in enumerate(shares)}
    own = {"layout": "imagefolder", "root": "/data/own", "splits": splits}
    config["datasets"]["own"] = own
    assert list(checks._layouts(Study(config, check=False))) == []
    own["splits"] = splits | {"more": {"share": more}}
    [sentence] = checks._layouts(Study(config, check=False))
    assert "no more than 1 together" in sentence


def published_config():
    config = paper_config()
    main = config["sweeps"]["main"]
    config["sweeps"] = {"main": {key: main[key] for key in ("family", "grid")}}
    config["sweeps"]["main"]["published"] = {"clip": "folder/{expansion_factor}_{k}"}
    return config


@pytest.mark.parametrize(
    ("key", "value"), [("backbones", ["clip"]), ("recipe", "paper"), ("training", {"seed": 2})]
)
def test_published_saes_are_trained_by_nothing(key, value):
    config = published_config()
    assert list(Study(config, check=False).sweeps["main"].published) == ["clip"]
    config["sweeps"]["main"][key] = value
    with pytest.raises(UserError, match=f"sweeps.main has both published and {key}"):
        Study(config, check=False)


def test_sweeps_that_are_trained_have_no_folders():
    for sweep in Study(paper_config()).sweeps.values():
        assert (sweep.published, sweep.folders) == ({}, {})
        assert sweep.origins == {spec.name: sweep.name for spec in sweep.saes}


def test_settings_that_a_family_has_not_are_refused_where_they_stand():
    config = demo_config()
    config["sweeps"]["main"]["training"] = {"prefixes": [0.5, 1.0]}
    with pytest.raises(
        UserError, match=r"^config: sweeps\.main\.training: prefixes is for SAEs of"
    ):
        Study(config, check=False)


def test_an_inspection_is_looked_for_at_its_sweep_and_block(monkeypatch):
    seen = []

    def spec(name, said, folder, layer, reading, inspected, where):
        seen.append((name, layer, inspected, where))
        return SaeSpec("topk", 4, 8, name), 64

    monkeypatch.setattr(own_saes, "spec", spec)
    config = demo_config()
    folder = str(Path(__file__).parent)
    config["sweeps"]["own"] = {"backbones": ["dino_small"], "layer": 1, "saes": {"mine": folder}}
    found = Study(config, check=False).sweeps["own"]
    inspected = Paths("results/demo").inspected("own", "dino_small-layer1")
    assert seen == [("mine", 1, inspected, "sweeps.own.saes.mine")]
    assert found.folders == {"dino_small": {"mine": folder}}
    assert found.widths == {"dino_small": {"mine": 64}}


@pytest.mark.parametrize(("features", "factor"), [(32, 8), (10, 2.5), (4, 1), (2, 0.5)])
def test_expansion_factors_are_whole_where_they_can_be(features, factor, monkeypatch):
    found = {"family": "topk", "k": 1, "features": features, "width": 4}
    monkeypatch.setattr(own_saes, "_found", lambda *_: found)
    spec, width = own_saes.spec("mine", "folder", "folder", 3, {}, "inspected", "here")
    assert width == 4
    assert spec.expansion_factor == factor
    assert isinstance(spec.expansion_factor, type(factor))
    assert spec.configuration == f"topk_{factor}x_k1"


def test_what_must_be_said_of_an_sae_beside_its_folder(monkeypatch):
    found = {"family": None, "k": None, "features": 32, "width": 4, "k_open": True}
    monkeypatch.setattr(own_saes, "_found", lambda *_: found)

    def spec(name, **said):
        return own_saes.spec(name, said, "folder", 3, {}, "inspected", "here")[0]

    with pytest.raises(UserError, match="of a family that its files do not say: write `family`"):
        spec("mine")
    with pytest.raises(UserError, match=r"do not say how many features are active.*at here"):
        spec("mine", family="topk")
    assert spec("mine", family="topk", k=2) == SaeSpec("topk", 8, 2, "mine")
    with pytest.raises(UserError, match=r"here\.k is 3, but ReLU [+] L1 SAEs have no number"):
        spec("mine", family="relu", k=3)
    for name, whose in (("raw", "no SAE"), ("topk_8x_k3", "another SAE")):
        with pytest.raises(UserError, match=f"has the name of {whose}"):
            spec(name, family="topk", k=2)
    assert spec("topk_8x_k2", family="topk", k=2).name == "topk_8x_k2"
    found["k_open"] = False
    assert spec("mine", family="topk").sparsity is None


@pytest.mark.parametrize(("auxiliary", "refused"), [(56, False), (57, True)])
def test_sizes_of_each_saes_own_training_are_checked(auxiliary, refused):
    """64 features of width 8, of which 8 are active: at most 56 are dead."""
    config = demo_config()
    config["sweeps"] = {"main": config["sweeps"]["main"] | {
        "family": "topk", "backbones": ["dino_small"], "grid": {"expansion_factor": [8], "k": [8]},
        "training": {"auxiliary": {"dead_after": 1, "k": auxiliary}}}}  # fmt: skip
    found = Study(config, check=False)
    known = dict.fromkeys(found.backbones)
    assert not [*checks.sizes_in(found, known)]  # nothing is known of the widths
    known["dino_small"] = SimpleNamespace(width=8)
    if not refused:
        assert not [*checks.sizes_in(found, known)]
        return
    [sentence] = checks.sizes_in(found, known)
    assert sentence.startswith("config: sweeps.main.training on dino_small: aux")
    for own in ({"published": {"dino_small": "x"}}, {"folders": {"dino_small": {"x": "x"}}}):
        found.sweeps["main"] = replace(found.sweeps["main"], **own)
        assert not [*checks.sizes_in(found, known)]  # was trained elsewhere


def test_protocols_of_extensions_are_asked_for_with_config_and_settings(monkeypatch):
    class Shelf(dict):
        def is_extension(self, name):
            return name != "ours"

    def protocol(config, settings):
        if settings != f"{config} of theirs":
            raise KeyError("swapped")

    def ours(*_):
        raise AssertionError

    shelf = Shelf(ours=SimpleNamespace(protocol=ours), theirs=SimpleNamespace(protocol=protocol))
    monkeypatch.setattr(checks, "EVALS", shelf)
    monkeypatch.setattr(checks, "settings_of", lambda metric, config: f"{config} of {metric}")
    known = SimpleNamespace(config="config", metrics=lambda: ["ours", "theirs"])
    assert list(checks._protocols(known)) == []
    monkeypatch.setattr(checks, "settings_of", lambda metric, config: "other")
    [sentence] = checks._protocols(known)
    assert "protocol of the extension 'theirs' fails, KeyError: 'sw" in sentence


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("datasets.cub.cache", "datasets.cub.cache is false"),
        ("datasets.ade20k.cache", r"datasets\.ade20k\.cache is false, but downstream.seg"),
        ("datasets.imagenet.cache", r"datasets\.imagenet\.cache is false, but training reads"),
    ],
)
def test_caches_that_are_read_again_cannot_be_left_out(path, refused):
    config = kept_config()
    change(config, path, False)
    streams = path == "datasets.cub.cache"
    config["on_bad_image"] = "skip" if streams else "fail"
    [sentence] = checks._streams(Study(config, check=False))
    assert re.search(refused, sentence)
    change(config, path, True)
    assert list(checks._streams(Study(config, check=False))) == []


# ---------------------------------------------------------------- parts that sweeps play


def test_compared_layers_are_those_of_the_early_sweeps_first_backbone():
    def sweep(**layers):
        return SimpleNamespace(family="topk", layers=layers, backbones=list(layers), folders={})

    first = sweep(clip=11, mae=23, deit=5)
    for early, layers in ((sweep(mae=7, clip=3), (7, 23)), (sweep(clip=3), (3, 11))):
        assert roles.compared_layers(SimpleNamespace(sweeps={"a": first, "b": early})) == layers
    with pytest.raises(ValueError, match="no sweep that plays this part"):
        roles.compared_layers(SimpleNamespace(sweeps={"a": first}))


def test_the_first_data_set_of_a_papers_layout_stands_for_it():
    layouts = {"mine": "cub_200_2011", "again": "cub_200_2011", "plain": "imagefolder",
               "dtd": "dtd", "insects": "inaturalist_2021"}  # fmt: skip
    config = {"datasets": {name: {"layout": layout} for name, layout in layouts.items()}}
    known = SimpleNamespace(cross_domain=layouts, config=config)
    assert roles.paper_datasets(known) == {"cub": "mine", "dtd": "dtd", "inaturalist": "insects"}


def test_a_paradigm_is_played_by_the_papers_own_backbone_or_the_first_that_is_no_control():
    def known(*names):
        entries = {
            "clip": ("image-text contrast (softmax)", "raster"),
            "mine": ("image-text contrast (softmax)", "raster"),
            "mae_p": ("masked reconstruction", "permuted"),
            "mae_2": ("masked reconstruction", "forward"),
            "odd": ("another", "raster"),
        }
        backbones = {n: {"paradigm": p, "token_order": o} for n, (p, o) in entries.items()}
        sweeps = {"main": SimpleNamespace(backbones=names)}
        return SimpleNamespace(sweeps=sweeps, backbones=backbones)

    assert roles.paper_backbones(known("mine", "clip", "mae_p", "mae_2", "odd")) == {
        "clip": "clip", "mae_2": "mae"
    }  # fmt: skip
    assert roles.paper_backbones(known("mine", "mae_p")) == {"mine": "clip"}


def test_recipes_are_ways_of_training_the_same_configuration():
    config = demo_config()
    main = config["sweeps"]["main"] | {"backbones": ["dino_small"]}
    main["grid"] = {"expansion_factor": [4, 8], "k": [8]}
    sweeps = {
        "main": main,
        "again": main | {"variant": "b", "training": {"seed": 7}},
        "faster": main | {"variant": "c", "training": {"learning_rate": 0.01, "seed": 1},
                          "grid": {"expansion_factor": [8], "k": [8, 16]}},
        "alone": main | {"grid": {"expansion_factor": [8], "k": [9]},
                         "training": {"adam_beta1": 0.5}},
        "elsewhere": main | {"layer": 1, "training": {"adam_beta1": 0.5}},
        "no_number": main | {"family": "relu", "grid": {"expansion_factor": [8], "l1": [1, 2]}},
    }  # fmt: skip
    config["sweeps"] = sweeps
    found = roles.recipes(Study(config, check=False))
    assert found == [
        roles.Recipe("main", "batchtopk", {}, ("main", "again")),
        roles.Recipe("faster", "batchtopk", {"learning_rate": 0.01}, ("faster",)),
    ]


def test_edited_saes_are_of_the_size_nearest_to_the_audited_one():
    """16x with 192 active: the factor decides first, and an unknown sparsity is the farthest."""
    config = demo_config()
    [early] = [sweep for sweep in config["sweeps"].values() if sweep.get("layer") == 1]
    early["grid"] = {"expansion_factor": [4, 8, 64], "k": [8, 96, 400]}
    found = roles.edited(Study(config, check=False))
    assert [sae.full_name for sae in found] == ["clip_small/layer1/batchtopk_8x_k96"]
    unknown = SaeSpec("topk", 16, None, "mine")
    assert roles._from_audited(unknown) == [0, float("inf")]


def test_the_sibling_of_an_sae_differs_in_its_sparsity_alone_if_one_does():
    known = Study(demo_config())
    sae = known.saes()[0]
    sibling = roles._sibling(known, sae)
    assert sibling != sae
    assert (sibling.place, sibling.spec.family) == (sae.place, sae.spec.family)
    assert sibling.spec.expansion_factor == sae.spec.expansion_factor
    few = SimpleNamespace(saes=lambda: [sae])
    assert roles._sibling(few, sae) is None
    kinds = {
        "other family": replace(sae, spec=SaeSpec("relu", sae.spec.expansion_factor, 1)),
        "other size": replace(sae, spec=replace(sae.spec, expansion_factor=99)),
    }
    few = SimpleNamespace(saes=lambda: [sae, *kinds.values()])
    assert roles._sibling(few, sae) == kinds["other size"]


# ---------------------------------------------------------------- jobs and activations


def test_activations_that_are_needed_are_those_that_something_reads():
    """Splits of all SAEs' blocks, with masks where tasks are done; evaluators are among them."""
    config = kept_config() | {"granularity": "fine"}
    known = Study(config)
    expected = {}
    for sweep in known.sweeps.values():
        masks = known.segmentation if sweep in known.downstream_sweeps else []
        for block in sweep.layers.items():
            cached, reduced = expected.setdefault(block, (set(), set()))
            reduced.update(known.encoded_splits(sweep))
            cached.update([known.training, known.held_out, *reduced, *masks])
    found = places.needed(known)
    assert {(p.backbone, p.layer): (set(p.cached), set(p.reduced)) for p in found} == expected
    for place in found:
        assert place.name == f"{place.backbone}/layer{place.layer}"


def test_names_of_jobs_are_cut_beyond_a_hundred_letters():
    names = ["a" * 50, "b" * 45]
    assert len(jobs._joined(names)) == 100
    assert jobs._joined(names) == "_and_".join(names)
    longer = jobs._joined(["a" * 50, "b" * 46])
    assert longer.startswith("a" * 50 + "_and_1_more_")
    assert longer != jobs._joined(["a" * 50, "c" * 46])


@pytest.mark.parametrize(("count", "batches", "sizes"), [(5, 2, [3, 2]), (4, 4, [1] * 4),
                                                         (3, 1, [3]), (4, 3, [2, 2])])  # fmt: skip
def test_saes_of_a_sweep_are_trained_in_as_many_parts_as_it_has_jobs(count, batches, sizes):
    specs = tuple(SaeSpec("topk", 4, k + 1) for k in range(count))
    sweep = SimpleNamespace(name="s", saes=specs, training_jobs=batches, imported=False)
    found = jobs.training(sweep, [sweep])
    assert [len(part) for _, part in found] == sizes
    assert sum((tuple(part) for _, part in found), ()) == specs
    of = len(sizes)
    assert [name for name, _ in found] == (
        ["s"] if of == 1 else [f"s_{i + 1}_of_{of}" for i in range(of)]
    )
    sweep.imported = True
    assert jobs.training(sweep, [sweep]) == []
