"""The command: configs that are written run, mistakes are said together, runs are followed."""

import csv
import io
import math
import re
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from PIL import Image
from snakemake.cli import get_argument_parser
from study_fixtures import ROOT, change, demo_config

from visae.base.errors import UserError
from visae.base.repository import PROFILES
from visae.command import follow, look, new
from visae.command.check import problems
from visae.command.evaluate import read_options, with_sae
from visae.command.main import _lines, main
from visae.command.run import command_of
from visae.plan.geometries import geometries
from visae.sae.exchange.foreign import identify
from visae.study.study import Study
from visae.study.targets import GATHERING

CHECKPOINTS = ROOT / "tests/sae/exchange/checkpoints"
WIDTH = 24
"""Of the activations that SAEs in these are for."""
RAW = {"input": "raw"}


def save(folder, classes, images, seed=0):
    random = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(images):
            pixels = random.integers(0, 256, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def write(tmp_path, config):
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


# ------------------------------------------------------------------------------------ visae new


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "photos"
    save(folder, ["cat", "dog", "bird"], 10)
    return folder


def test_a_config_of_own_images_is_a_study_that_can_be_trained(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["new", "pets", "--images", str(photos), "--random"]
    models = ["timm:vit_tiny_patch16_224", "timm:vit_small_patch32_224"]
    run = CliRunner().invoke(main, [*words, *(w for m in models for w in ("--backbone", m))])
    assert run.exit_code == 0, run.output
    assert "30 images of 3 classes (24 in train and 6 in val)" in run.output
    study = Study(yaml.safe_load((tmp_path / "pets.yaml").read_text()))
    tiny, small = study.backbones
    assert [study.backbones[name]["layer"] for name in (tiny, small)] == [11, 11]
    assert study.backbones[tiny]["evaluator"] == small
    assert "monosemanticity" in study.metrics()
    settings = study.config["training"]
    steps = 24 * 49 * settings["epochs"] / settings["batch_size"]
    assert steps >= settings["minimum_steps"]
    each = -(-24 * 49 // settings["batch_size"])  # the last batch of a pass is smaller
    assert f"{each * settings['epochs']:,} steps in all" in (tmp_path / "pets.yaml").read_text()
    again = CliRunner().invoke(main, [*words, "--backbone", models[0]])
    assert (again.exit_code, "pets.yaml exists" in again.output) == (1, True)


def test_one_backbone_has_no_second_space_and_flat_images_no_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "flat", ["."], 20)
    new.write_study(
        tmp_path / "flat.yaml", "flat", tmp_path / "flat", ["timm:vit_tiny_patch16_224"]
    )
    study = Study(yaml.safe_load((tmp_path / "flat.yaml").read_text()))
    assert study.config["datasets"]["images"]["labels"] == "none"
    asked = study.config["sweeps"]["main"]["metrics"]
    assert "fvu" in asked
    assert not {"monosemanticity", "cross_domain"} & set(asked)
    assert "sparse_probing" in study.absent
    # A tenth of 4 images would be none. M1 has a score all the same.
    assert study.config["metrics"]["localization"]["minimum_images"] == 2


def test_an_sae_of_ones_own_is_scored_beside_a_new_study_of_one_backbone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "flat", ["."], 20)
    config = tmp_path / "flat.yaml"
    new.write_study(config, "flat", tmp_path / "flat", ["timm:vit_tiny_patch16_224"])
    written = yaml.safe_load(config.read_text())
    written["backbones"]["vit_tiny_patch16_224"]["options"] = {"embed_dim": WIDTH}
    config.write_text(yaml.safe_dump(written, sort_keys=False))
    path, _ = with_sae(CHECKPOINTS / "dictionary_learning/topk", config, "vit_tiny_patch16_224")
    main_sweep, own = Study(yaml.safe_load(path.read_text())).sweeps.values()
    assert own.metrics == main_sweep.metrics
    assert "&id" not in path.read_text()  # YAML's mark of a list that stands there twice


def test_an_sae_has_the_metrics_of_the_first_sweep_on_its_backbone(tmp_path):
    """Of that backbone: the study's first sweep is not on it, and has all metrics."""
    config = demo_config()
    later = {"metrics": ["fvu"], "grid": {"expansion_factor": [2], "k": [8]}}
    config["sweeps"]["later"] = config["sweeps"]["token_order"] | later
    for name in ("mae_small", "mae_permuted"):
        config["backbones"][name]["options"]["embed_dim"] = WIDTH
    path, _ = with_sae(CHECKPOINTS / "overcomplete/topk_trained", write(tmp_path, config),
                       "mae_permuted", reading=RAW, family="topk", k=8)  # fmt: skip
    own = Study(yaml.safe_load(path.read_text())).sweeps["topk_trained"]
    assert own.metrics == ("localization", "fvu")


@pytest.mark.parametrize(("layer", "own"), [(3, "lean"), (1, None), (None, None)])
def test_an_sae_has_the_storage_of_its_block(layer, own, tmp_path):
    """Others are refused; of a block that no sweep reads it is the study's."""
    config = demo_config()
    config["backbones"]["clip_small"]["layer"] = 2
    config["backbones"]["clip_small"]["options"]["vision_cfg"]["width"] = WIDTH
    sweep = {"backbones": ["clip_small"], "grid": {"expansion_factor": [2], "k": [8]}}
    config["sweeps"] = {"main": config["sweeps"]["main"] | sweep | {"layer": 3, "storage": "lean"}}
    config |= {"downstream": None, "interventions": None}
    path, _ = with_sae(CHECKPOINTS / "overcomplete/topk_trained", write(tmp_path, config),
                       "clip_small", layer, reading=RAW, family="topk", k=8)  # fmt: skip
    written = yaml.safe_load(path.read_text())
    assert written["sweeps"]["topk_trained"].get("storage") == own
    assert Study(written).sweeps["topk_trained"].storage == (own or "full")


def test_a_mistake_in_labels_is_told_and_does_not_make_them_vanish(photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    Image.new("RGB", (40, 40)).save(folder / "stray.png")
    with pytest.raises(UserError, match="stray"):
        new.write_study(tmp_path / "x.yaml", "x", folder, ["timm:vit_tiny_patch16_224"])
    assert not (tmp_path / "x.yaml").exists()


@pytest.mark.parametrize(
    ("name", "backbone", "said"),
    [
        ("Pets", "timm:vit_tiny_patch16_224", "lower-case letter, then a-z"),
        ("my pets", "timm:vit_tiny_patch16_224", "lower-case letter, then a-z"),
        ("pets", "vit_tiny_patch16_22", "did you mean timm:vit_tiny_patch16_224"),
        ("pets", "facebook/none", "transformers:owner/name"),
    ],
)
def test_what_is_no_name_is_refused_with_the_cure(photos, tmp_path, name, backbone, said):
    with pytest.raises(UserError, match=said):
        new.write_study(tmp_path / "x.yaml", name, photos, [backbone])
    assert not (tmp_path / "x.yaml").exists()


@pytest.mark.parametrize("layer", [12, -1])
def test_a_block_that_is_not_there_names_the_option(layer, photos, tmp_path):
    model = "timm:vit_tiny_patch16_224"
    with pytest.raises(UserError, match=rf"--layer is {layer}, but .* the blocks 0 to 11"):
        new.write_study(tmp_path / "x.yaml", "pets", photos, [model], layer, random=True)
    assert not (tmp_path / "x.yaml").exists()


def test_long_names_of_folders_are_kept_and_a_model_stands_once(photos, tmp_path):
    folder, model = tmp_path / ("my pictures of pets " * 6).strip(), "timm:vit_tiny_patch16_224"
    folder.symlink_to(photos)
    new.write_study(tmp_path / "x.yaml", "pets", folder, [model])
    written = yaml.safe_load((tmp_path / "x.yaml").read_text())
    assert written["datasets"]["images"]["root"] == str(folder)
    with pytest.raises(UserError, match="names vit_tiny_patch16_224 twice"):
        new.write_study(tmp_path / "y.yaml", "pets", folder, [model, model])


@pytest.mark.parametrize(("scored", "minimum"), [(15, 2), (499, 49), (500, 50)])
def test_few_images_for_scores_ask_fewer_of_a_feature(scored, minimum, tmp_path, monkeypatch):
    """A tenth of them, so that M1 is of some features; from 500 on a tenth is its default."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "photos/train", ["cat"], 4)
    (tmp_path / "photos/val/cat").mkdir(parents=True)
    for number in range(scored):
        (tmp_path / f"photos/val/cat/{number}.png").hardlink_to("photos/train/cat/0.png")
    new.write_study(tmp_path / "x.yaml", "x", tmp_path / "photos", ["timm:vit_tiny_patch16_224"])
    written = yaml.safe_load((tmp_path / "x.yaml").read_text())
    said = written.get("metrics", {}).get("localization", {}).get("minimum_images")
    assert said == (minimum if scored < 500 else None)  # a tenth, and M1's default of 50
    assert Study(written).config["metrics"]["localization"]["minimum_images"] == minimum


@pytest.mark.parametrize("scored", [2, 9, 15, 16])
def test_a_study_of_a_handful_of_images_asks_for_no_more(scored, tmp_path, monkeypatch):
    """By default M5 compares 16 images."""
    monkeypatch.chdir(tmp_path)
    for part, number in (("train", 4), ("val", scored)):
        save(tmp_path / "photos" / part, ["cat"], number)
    models = ["timm:vit_tiny_patch16_224", "timm:vit_small_patch16_224"]
    new.write_study(tmp_path / "x.yaml", "x", tmp_path / "photos", models, random=True)
    written = yaml.safe_load((tmp_path / "x.yaml").read_text())
    assert written["metrics"].get("monosemanticity", {}).get("top_images", 16) == min(scored, 16)
    assert not [said for said in problems([tmp_path / "x.yaml"]) if "metrics." in said]


def test_a_model_of_one_library_needs_no_loader():
    assert new._loader_of("vit_tiny_patch16_224") == "timm"
    assert new._loader_of("ViT-B-16-quickgelu:openai") == "open_clip"


# ---------------------------------------------------------------------------------- visae check


def test_all_mistakes_are_said_at_once_with_their_lines(tmp_path):
    config = demo_config()
    for path, value in [
        ("training.batch_size", "many"),
        ("backbones.dino_small.loader", "tim"),
        ("extraction.speed", 3),
    ]:
        change(config, path, value)
    path = write(tmp_path, config)
    found = problems([path])
    assert len(found) == 3
    for said in ("batch_size is 'many'", "did you mean 'timm'", "unknown key 'speed'"):
        assert sum(said in sentence and f"{path}, line " in sentence for sentence in found) == 1


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("sweeps.main.layer", 40, "layer: 40"),
        ("sweeps.main.grid.k", [1.5], "k:"),
        ("sweeps.main.grid.k", [1, True], "- true"),
        ("sweeps.main.storage", "lean", "storage: lean"),
        ("sweeps.again", demo_config()["sweeps"]["main"], "again:"),
        ("sweeps.own", {"saes": {"mine": "empty"}, "backbones": ["mae_small"]}, "mine: empty"),
    ],
)
def test_a_mistake_is_said_with_the_line_of_its_key(path, value, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    config = demo_config()
    if path == "sweeps.main.storage":  # of two sweeps that differ, the second is named
        config["sweeps"]["jumprelu"]["storage"] = value
    else:
        change(config, path, value)
    lines = write(tmp_path, config).read_text().splitlines()
    number = next(number for number, text in enumerate(lines, 1) if text.strip() == line)
    found = problems([tmp_path / "my.yaml"])
    assert any(each.endswith(f"my.yaml, line {number})") for each in found), found


def test_of_each_kind_of_mistake_all_are_said(tmp_path):
    """Of keys of a section, of parts that are not there, and of parts that do not fit."""
    config = demo_config()
    for path in (
        "extraction.speed",
        "extraction.batchsize",
        "backbones.dino_small.modell",
        "sweps",
    ):
        change(config, path, {})
    change(config, "training.epochs", 0)
    found = problems([write(tmp_path, config)])
    assert len(found) == 5
    for key in ("speed", "batchsize", "modell", "sweps"):
        [sentence] = [said for said in found if f"unknown key '{key}'" in said]
        line = int(sentence.rpartition("line ")[2].removesuffix(")"))
        assert (tmp_path / "my.yaml").read_text().splitlines()[line - 1].strip() == f"{key}: {{}}"

    config = demo_config()
    change(config, "training.split", "trian")
    change(config, "evaluation.split", "vall")
    change(config, "metrics.cross_domain.headline", "cars")
    change(config, "metrics.cross_domain.datasets.digits", {"train": "one", "test": "two"})
    change(config, "sweeps.main.backbones", ["dino", "clip", "mae_small"])
    change(config, "sweeps.jumprelu.grid", {"k": [1]})
    change(config, "downstream.segmentation.dataset", "cars")
    found = problems([write(tmp_path, config)])
    for said in (
        *("training names the split 'trian'", "evaluation names the split 'vall'"),
        *("headline is 'cars'", "digits.train names the split 'one'", "test names the split 'two'"),
        *("'dino' and 'clip', which are not in", "sweeps.jumprelu.grid has the keys k;"),
        "downstream.segmentation.train names the data set 'cars'",
    ):
        assert sum(said in sentence for sentence in found) == 1, said
    assert len(found) == 8

    config = demo_config()
    for backbone in ("dino_small", "clip_small"):
        change(config, f"backbones.{backbone}.evaluator", backbone)
        change(config, f"backbones.{backbone}.weights", "pretrained")
    change(config, "features", {"saes": ["a/b", "c/d"], "named": {}})
    found = problems([write(tmp_path, config)])
    for said in ("dino_small' itself", "clip_small' itself", "the SAE 'a/b'", "the SAE 'c/d'"):
        assert sum(said in sentence for sentence in found) == 1, said
    both = [said for said in found if "both pretraining and weights" in said]
    assert len(both) == 2

    config = demo_config()
    for dataset in ("digits", "faces"):
        change(config, f"datasets.{dataset}.root", f"$NOWHERE_{dataset}/x")
    found = problems([write(tmp_path, config)])
    assert len(found) == 2
    assert all(f"$NOWHERE_{d}" in said for d, said in zip(("digits", "faces"), found, strict=True))


def test_parts_that_do_not_fit_are_said_together(tmp_path):
    config = demo_config()
    change(config, "backbones.dino_small.evaluator", "dino_small")
    change(config, "training.ragged_images", 7)
    change(config, "datasets.digits", {"layout": "cub_200_2011", "root": str(tmp_path / "away"),
                                       "splits": {"train": {}, "test": {}}})  # fmt: skip
    found = "\n".join(problems([write(tmp_path, config)]))
    for said in ("dino_small' itself", "training.ragged_images is 7", "datasets.digits.root"):
        assert said in found
    run = CliRunner().invoke(main, ["check", str(tmp_path / "my.yaml")])
    assert (run.exit_code, run.stderr.count("✗")) == (1, len(found.splitlines()))


def test_the_configs_of_the_repository_are_right(tmp_path):
    assert problems([ROOT / "profiles/demo/study.yaml"]) == []
    over = tmp_path / "over.yaml"
    over.write_text("training: {epochs: 0}\n")
    [sentence] = problems([ROOT / "profiles/demo/study.yaml", over])
    assert f"({over}, line 1)" in sentence
    text = tmp_path / "text.yaml"
    text.write_text("study: [1, 2\n")
    assert "line " in problems([text])[0]


OWN = {"label": "x", "paradigm": "x", "weights": "random", "layer": 4, "evaluator": "clip_small"}
TIMM = {"loader": "timm", "model": "vit_tiny_patch16_224"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("backbones.dino_small.layer", 9),
        ("backbones.dino_small", OWN | TIMM | {"layer": 40}),
        ("backbones.dino_small.image_size", 65),
        ("backbones.dino_small", OWN | TIMM | {"image_size": 225}),
        ("backbones.siglip_small.options.patch_size", 7),
        ("backbones.dino_small.options.num_heads", 5),
        ("sweeps.jumprelu.grid.target_l0", [100_000]),
        ("training.minimum_steps", 10**9),
        (
            "datasets.digits",
            {"layout": "dtd", "root": "/away", "splits": {"train": {}, "test": {}}},
        ),
        ("backbones.mae_permuted.weights", "/nowhere"),
        ("training.batch_size", -math.inf),
    ],
)
def test_a_fault_is_said_once(path, value, tmp_path):
    config = demo_config()
    del config["sweeps"]["token_order"]  # it would miss what some of these take away
    config["datasets"]["photographs"]["splits"]["train"]["images"] = 1000
    change(config, path, value)
    assert len(problems([write(tmp_path, config)])) == 1


def test_weights_that_are_not_there_are_told_without_asking_the_network(tmp_path, monkeypatch):
    """Of a model of the hub the shapes would be asked for there, with retries."""
    config = demo_config()
    hub = {"loader": "transformers", "model": "owner/no-such-model", "weights": "/nowhere"}
    change(config, "backbones.dino_small", OWN | hub)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("the network is asked"))
    [sentence] = problems([write(tmp_path, config)])
    assert (
        "backbones.dino_small.weights is '/nowhere', which is neither pretrained, nor" in sentence
    )
    study = Study(config)
    with pytest.raises(UserError, match="'/nowhere'"):
        geometries(study, lambda entries: pytest.fail(f"{entries} are measured"))


# ---------------------------------------------------------------------------- visae run, progress


def test_the_command_that_is_printed_is_snakemakes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = command_of("my.yaml", ("-n", "--", "plan"), "local")
    assert words[:3] == ["snakemake", "--snakefile", str(ROOT / "Snakefile")]
    assert words[3:] == [
        *("--configfile", "my.yaml", "--profile", str(PROFILES / "local"), "-n", "--", "plan")
    ]
    monkeypatch.chdir(ROOT)
    assert command_of("my.yaml", (), "slurm") == [
        *("snakemake", "--configfile", "my.yaml", "--profile", "profiles/slurm")
    ]
    with pytest.raises(UserError, match=r"no profile 'slum'.*slurm"):
        command_of("my.yaml", (), "slum")


def test_targets_after_two_dashes_are_targets(tmp_path, monkeypatch):
    # click keeps the dashes from the words that it hands on.
    monkeypatch.chdir(tmp_path)
    path, commands = write(tmp_path, {"study": "mine"}), []
    monkeypatch.setattr("visae.command.run.run_study", lambda command, _: commands.append(command))
    for words in (["--", "plan"], ["-n", "--", "plan", "tables"], ["--", "plan", "-n"]):
        CliRunner().invoke(main, ["run", str(path), *words])
        parsed = get_argument_parser().parse_args(commands[-1][1:])
        assert parsed.targets == [word for word in words if word.isalpha()]
        assert list(map(str, parsed.configfile)) == [str(path)]
    assert len(commands) == 3


def test_a_run_is_a_line_per_job_with_the_time_left():
    lines = [
        "Building DAG of jobs...\n", "job      count\n", "list         2\n", "join         2\n",
        "total        4\n", "✓ list (0.1 s)\n",
        "1 of 4 steps (25%) done\n", "✗ train: K is above F\n",
        "✓ join (0.2 s)\n", "2 of 4 steps (50%) done\n",
    ]  # fmt: skip
    out, log, seconds = io.StringIO(), io.StringIO(), iter([0, 0, 30, 30, 90, 90, 90])
    follow.follow(lines, out, log, clock=lambda: next(seconds))
    shown = out.getvalue().splitlines()
    assert shown[0] == "[1/4] ✓ list (0.1 s)"
    assert "✗ train: K is above F" in shown
    assert "[2/4] ✓ join (0.2 s)" in shown
    [left] = [line for line in shown if line.endswith("left")]
    # Two jobs of four took as long as the other two will.
    assert "01:30" in left
    assert left.startswith("[2/4] about 0")
    assert log.getvalue() == "".join(lines)


def test_the_time_left_of_a_demo_is_right_within_a_factor_of_two(monkeypatch):
    """Of a recorded run (end and length of each job), from its half on."""
    with open(Path(__file__).with_name("demo_jobs.csv"), newline="") as file:
        ran = list(csv.DictReader(file))
    now, end, total = 0.0, float(ran[-1]["end"]), len(ran)
    counts = Counter(job["rule"] for job in ran)
    out = io.StringIO()
    checked = []

    def lines():
        nonlocal now
        yield "job   count\n"
        yield from (f"{rule}   {number}\n" for rule, number in counts.items())
        yield f"total   {total}\n"
        for done, job in enumerate(ran, 1):
            now = float(job["end"])
            yield f"✓ {job['rule']} a ({float(job['seconds']):.1f} s)\n"
            out.truncate(0)
            yield f"{done} of {total} steps (1%) done\n"
            said = re.search(r"about (\d+):(\d+) left", out.getvalue())
            assert not (said and done < 9)  # data are listed and nothing has run yet
            if now > end / 2 and end - now > 10:
                seconds = 60 * int(said[1]) + int(said[2])
                checked.append(done)
                assert 0.5 <= (seconds + 1) / (end - now) <= 2

    monkeypatch.setattr(follow, "SECONDS_APART", 0)
    follow.follow(lines(), out, clock=lambda: now)
    assert len(checked) > 50


@pytest.mark.parametrize("target", [*sorted(GATHERING), "matches"])
def test_targets_that_run_nothing_are_not_counted(target):
    """Nor where two are asked for, one of which is complete before the last job."""
    lines = [
        "job      count\n", "index_a      1\n", "report       1\n", f"{target}   1\n",
        "saes         1\n" if target != "saes" else "all          1\n", "total        4\n",
        "✓ index_a (0.1 s)\n", "Finished jobid: 3 (Rule: index_a)\n", "1 of 4 steps (25%) done\n",
        f"Finished jobid: 1 (Rule: {target})\n", "2 of 4 steps (50%) done\n",
        "✓ report (0.1 s)\n", "Finished jobid: 2 (Rule: report)\n", "3 of 4 steps (75%) done\n",
    ]  # fmt: skip
    out = io.StringIO()
    follow.follow(lines, out)
    assert out.getvalue().splitlines() == ["[1/2] ✓ index_a (0.1 s)", "[2/2] ✓ report (0.1 s)"]


def test_the_targets_that_run_nothing_are_the_rules_without_a_script():
    files = [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]
    names = set()
    for file in files:
        # "", name, what follows, name, …
        parts = re.split(r"^ *rule ?(\w*):$", file.read_text("utf-8"), flags=re.MULTILINE)
        names |= {
            name
            for name, text in zip(parts[1::2], parts[2::2], strict=True)
            if "script:" not in text
        }
    assert names == GATHERING | {""}  # "": of a subject's table and figure


def test_a_dry_run_is_the_table_of_its_jobs():
    table = ["index_images       1\n", "train_main         2\n", "total              3\n"]
    lines = [
        "Job stats:\n", "job            count\n", "-----------  -------\n", *table, "\n",
        "Job 0: The study is complete\n", "Reason: Missing output files: a.pdf\n",
        "Job stats:\n", "job            count\n", "-----------  -------\n", *table, "\n",
        "Reasons:\n", "    (check individual jobs above for details)\n",
        "    code has changed since last execution:\n", "        train_main\n",
        "This was a dry-run (flag -n). The order of jobs does not …\n",
    ]  # fmt: skip
    out = io.StringIO()
    follow.follow(lines, out)
    assert out.getvalue() == "".join([*table, lines[-1]])


def test_how_far_jobs_are_comes_once_a_minute():
    far = ["  train_main mae: 5 of 90 training steps (5 s, 1 min 25 s left)\n"] * 5
    other = "  encode: 3 images encoded (5 s)\n"
    out, log, seconds = io.StringIO(), io.StringIO(), iter([0, 0, *range(0, 500, 17)])
    lines = [*far, other, "✓ train_main mae (40 s)\n", "1 of 4 steps (25%) done\n"]
    follow.follow(lines, out, log, clock=lambda: next(seconds))
    for text in (out.getvalue(), log.getvalue()):
        assert (text.count("training steps"), text.count("images encoded")) == (2, 1)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_how_far_a_job_is_stands_beside_the_bar():
    out = Terminal()
    line = "  train_main mae: 5 of 90 training steps (5 s, 1 min 25 s left)\n"
    follow.follow(["total 4\n", line], out)
    assert "5 of 90 training steps" in out.getvalue()
    assert line not in out.getvalue()


def test_a_verb_draws_how_far_it_is_in_one_place_of_a_terminal():
    for terminal, shown in ((False, "  one\n  two\n"), (True, "  one\n\x1b[1A\x1b[2K  two\n")):
        stream = io.StringIO()
        line = _lines(stream, terminal)
        line("one")
        line("two")
        assert stream.getvalue() == shown


# ----------------------------------------------------------------------------------- visae look


@pytest.mark.parametrize(
    ("trained", "said"),
    [
        ({"a": ["mae/layer3/one", "mae/layer3/two"], "b": ["dino/layer3/three"]}, "mae/layer3/one"),
        ({"a": [], "b": ["dino/layer3/three"]}, "there is dino/layer3/three"),
        ({"a": [], "b": []}, "train one first"),
    ],
)
def test_an_sae_that_no_study_has_is_answered_with_those_that_are_there(
    trained, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for study in trained:
        (tmp_path / "results" / study).mkdir(parents=True)
        (tmp_path / "results" / study / "config.yaml").touch()
    monkeypatch.setattr(look, "OpenStudy", lambda path: SimpleNamespace(saes=trained[path.name]))
    for name in ("mae/layer3/oen", "nosuch"):
        with pytest.raises(UserError, match=f"has an SAE '{name}'.*{said}") as refused:
            look.page_of(name, 1)
        assert "--study" not in str(refused.value)


# --------------------------------------------------------------------------- visae evaluate-sae


@pytest.mark.parametrize(
    ("folder", "family", "k"),
    [
        ("sae_lens/batchtopk_trained", "batchtopk", 8),
        ("sae_lens/gated", "gated", None),
        ("dictionary_learning/topk", "topk", 8),
        ("openai_sparse_autoencoder/topk_identity", "topk", 24),
        ("patchsae/standard", "relu", None),
    ],
)
def test_an_sae_is_identified_by_what_its_files_say(folder, family, k):
    width = np.load(CHECKPOINTS / folder / "inputs.npy").shape[-1]
    assert identify(CHECKPOINTS / folder) == (family, 4 * width, width, k, False)


def test_what_files_leave_open_is_asked_for(tmp_path):
    found = identify(CHECKPOINTS / "overcomplete/topk_trained", section={"input": "raw"})
    assert (found.family, found.k, found.k_open) == (None, None, True)
    with pytest.raises(UserError, match="--family"):
        with_sae(CHECKPOINTS / "overcomplete/topk_trained", write(tmp_path, demo_config()),
                 "dino_small", reading=RAW)  # fmt: skip
    with pytest.raises(UserError, match=r"how many features are active.*--k"):
        with_sae(CHECKPOINTS / "overcomplete/topk_trained", write(tmp_path, demo_config()),
                 "dino_small", reading=RAW, family="topk")  # fmt: skip


def test_all_that_a_sweeps_reading_says_can_be_said(tmp_path):
    """What is asked for is said with the option by which the command takes it."""
    folder, config = tmp_path / "mine", write(tmp_path, demo_config())
    folder.mkdir()
    torch.save({"W_enc": torch.zeros(96, 384)}, folder / "sae.pt")
    said = ["evaluate-sae", str(folder), "--config", str(config), "--backbone", "clip_small"]
    run = CliRunner().invoke(main, said)
    assert "say which with reading.library" in run.output
    assert run.output.rstrip().endswith("reading.KEY is said with --reading KEY=VALUE")
    run = CliRunner().invoke(main, [*said, "--reading", "library=patchsae"])
    assert run.exit_code == 1
    assert "lacks b_dec" in run.output  # as that library says it
    assert "say which with" not in run.output
    run = CliRunner().invoke(main, [*said, "--reading", "library"])
    assert "--reading is 'library': write KEY=VALUE" in run.output
    assert read_options(["threshold=0.5", "normalize_decoder=false", "input=a=b.pt"]) == {
        "threshold": 0.5,
        "normalize_decoder": False,
        "input": "a=b.pt",
    }


def test_an_sae_becomes_a_sweep_of_the_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = demo_config()
    config["backbones"]["clip_small"]["options"]["vision_cfg"]["layers"] = 12
    config["backbones"]["clip_small"]["layer"] = 11
    path, target = with_sae(
        CHECKPOINTS / "dictionary_learning/topk", write(tmp_path, config), "clip_small"
    )
    assert target == "results/demo/tables/scores.csv"
    study = Study(yaml.safe_load(path.read_text()))
    sweep = study.sweeps["topk"]
    [spec] = sweep.saes
    assert sweep.layers == {"clip_small": 11}
    assert (spec.name, spec.configuration) == ("topk", "topk_4x_k8")
    own = {"clip_small": {"topk": str(CHECKPOINTS / "dictionary_learning/topk")}}
    assert sweep.folders == own
    assert sweep.metrics == study.sweeps["main"].metrics
    # Its file of weights stands for the folder.
    weights = CHECKPOINTS / "dictionary_learning/topk/ae.pt"
    assert with_sae(weights, tmp_path / "my.yaml", "clip_small", reading=RAW)[0] == path
    # The study has it now; once more, it has another name.
    twice, _ = with_sae(CHECKPOINTS / "dictionary_learning/topk", path, "clip_small")
    names = [sae.name for sae in Study(yaml.safe_load(twice.read_text())).saes()]
    assert {"topk", "topk_2"} <= set(names)
    with pytest.raises(UserError, match="no backbone 'dino'"):
        with_sae(CHECKPOINTS / "dictionary_learning/topk", tmp_path / "my.yaml", "dino")
