"""The plan: counted by formulas of the tests' own, against the DAG, and against the documentation.

That counted bytes are those on the disk is checked where a study runs (tests/test_workflow.py).
"""

import copy
import re
import shutil
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.utils import update_config
from study_fixtures import ROOT, demo_config, kept_config, paper_config
from workflow_fixtures import copy_repository, snakemake, write_study

from visae.backbones import geometry
from visae.base.errors import UserError
from visae.base.paths import Paths
from visae.base.seals import write_beside
from visae.images.index import (
    CLASSES_FORMAT,
    IMAGES_FORMAT,
    ClassRecord,
    ImageRecord,
    build_index,
    spread,
)
from visae.plan import disk
from visae.plan import page as plan
from visae.plan.artefacts import active_features, artefacts, places, resume_files
from visae.plan.images import Count, count_images
from visae.plan.work import Stage, stages
from visae.sae.exchange.inspected import write_inspected
from visae.sae.specs import SaeSpec
from visae.study import jobs
from visae.study.study import Study

TRAIN, VAL = 1_281_167, 50_000
OTHERS = 500_000 + 100_000 + 5_994 + 5_794 + 3_760 + 1_880  # iNaturalist, CUB, DTD
MASKED = 20_210 + 2_000
BASE = 768


def shipped():
    return geometry.read_geometries(geometry.SHIPPED)


def planned(config, results="nowhere"):
    """A study with its geometries and counts."""
    study = Study(config)
    counts = count_images(study, results)
    return study, geometry.known(study.backbones, shipped()), counts


def sums(rows, stage, quantity):
    return sum(getattr(row, quantity) for row in rows if row.stage == stage)


# ---------------------------------------------------------------- the paper's study, by hand


@pytest.fixture(scope="module")
def paper():
    """With all activations kept."""
    return stages(*planned(kept_config()))


def test_caches_of_the_paper(paper):
    # Images by place: two with 256 patches (DINOv2 at blocks 11 and 3), and with 196 four
    # backbones at block 11 and two at block 3. Controls are views.
    main, early = TRAIN + VAL + OTHERS + MASKED, TRAIN + VAL + OTHERS
    images_256 = main + early
    images_196 = 4 * main + 2 * early
    # Block 3 is on the way to block 11.
    assert sums(paper, "extract", "images") == 5 * main < 9.9e6
    content = (images_256 * 256 + images_196 * 196) * BASE * 2
    assert sums(paper, "extract", "written") == pytest.approx(content, rel=2e-3)
    assert sums(paper, "join", "read") == content
    views = [row for row in paper if row.stage == "permute"]
    assert {row.backbone for row in views} == {"mae_permuted", "dinov2_permuted"}
    assert len(views) == 4
    assert all(row.written < 10_000 and not row.images and not row.read for row in views)
    five = (4 * 196 + 256) * TRAIN * BASE * 2
    assert five == pytest.approx(2.05e12, rel=0.01)  # "about 2 TB"


def test_forward_passes_of_the_paper(paper):
    def flops(tokens, patches, pixels, blocks):
        block = 24 * tokens * BASE**2 + 4 * tokens**2 * BASE
        return 2 * patches * pixels * BASE + blocks * block

    [dinov2] = [r for r in paper if r.stage == "extract" and (r.backbone, r.layer, r.work) ==
                ("dinov2", 11, "imagenet/train")]  # fmt: skip
    assert dinov2.gpu_flops == TRAIN * flops(257, 256, 3 * 14 * 14, 12)
    siglip = {r.layer: r for r in paper if r.stage == "extract" and (r.backbone, r.work) ==
              ("siglip", "imagenet/val")}  # fmt: skip
    assert siglip[11].cpu_flops == VAL * flops(196, 196, 3 * 16 * 16, 12)
    assert (siglip[3].images, siglip[3].cpu_flops) == (0, 0)
    assert siglip[3].written == siglip[11].written > 0


def test_training_of_the_paper(paper):
    factors = {"main": (8 + 16 + 32) * 4, "jumprelu": (16 + 32) * 2, "token_order": 16}
    active = {"main": 3 * (64 + 128 + 192 + 256), "jumprelu": 2 * (64 + 128), "token_order": 192}
    for name, patches in (("clip", 196), ("dinov2", 256)):
        for sweep in ("main", "jumprelu"):
            [row] = [r for r in paper if (r.stage, r.backbone, r.work) == ("train", name, sweep)]
            tokens = TRAIN * patches
            assert row.read == tokens * BASE * 2
            assert row.gpu_flops == tokens * 5 * 2 * BASE**2 * factors[sweep]
            assert row.cpu_flops == tokens * (
                2 * BASE**2 * factors[sweep] + 4 * 2 * BASE * active[sweep]
            )
    weights = 2 * 4 * BASE**2 * (8 * factors["main"] + 5 * factors["jumprelu"] + 2 * 16)
    assert sums(paper, "train", "written") == pytest.approx(weights, rel=2e-3)


def test_encoding_of_the_paper(paper):
    """One product in float16; its cuts, the candidates and their decoding in float32."""
    tokens = (VAL + OTHERS) * 196
    features = [factor * BASE for factor in (8, 16, 32)]
    [row] = [r for r in paper if (r.stage, r.backbone, r.work) == ("encode", "clip", "main")]
    assert row.half_flops == tokens * 4 * 2 * BASE * sum(features)
    found = 3 * 1.1 * (64 + 128 + 192 + 256)
    rest = 4 * 2 * 4 * sum(features) + 2 * 2 * BASE * found
    assert row.gpu_flops - row.half_flops == pytest.approx(tokens * rest, rel=1e-6)
    assert row.precision == "float32"
    # Where half of the codes may be kept, and where the encoder is small, both products are whole.
    config = kept_config()
    config["sweeps"]["jumprelu"]["grid"] = {"expansion_factor": [8], "target_l0": [64, 3072]}
    config["sweeps"]["layer_3"]["grid"] = {"expansion_factor": [1], "k": [64]}
    rows = stages(*planned(config))
    [row] = [r for r in rows if (r.stage, r.backbone, r.work) == ("encode", "clip", "jumprelu")]
    assert row.half_flops == tokens * 2 * BASE * features[0]
    assert row.gpu_flops - row.half_flops > tokens * 2 * 2 * BASE * features[0]
    [row] = [r for r in rows if (r.stage, r.backbone, r.work) == ("encode", "clip", "layer_3")]
    assert (row.half_flops, row.gpu_flops) == (0, tokens * 2 * 2 * BASE * BASE)


@pytest.mark.parametrize("activation", ["threshold", "topk", None])
def test_imported_saes_that_select_codes_are_not_screened_once_they_are_read(tmp_path, activation):
    config = kept_config()
    main = config["sweeps"]["main"]
    del main["backbones"]
    main |= {
        "published": {"clip": str(tmp_path)},
        "grid": {"expansion_factor": [8], "k": [64, 128]},
    }
    config["sweeps"] = {"main": main}
    study, *known = planned(config | {"downstream": None})
    study.paths = Paths(str(tmp_path))
    if activation:
        path = study.paths.inspected("main", "clip-layer11")
        Path(path).parent.mkdir(parents=True)
        read = {"batchtopk_8x_k64": {"inference": {"activation": activation}}}
        write_inspected(path, "", read)
    tokens, features = (VAL + OTHERS) * 196, 8 * BASE
    [row] = [r for r in stages(study, *known) if r.stage == "encode"]
    screened = 1 if activation == "topk" else 2
    assert row.half_flops == screened * tokens * 2 * BASE * features
    whole = row.gpu_flops - row.half_flops
    assert (whole > tokens * 2 * 2 * BASE * features) == (activation == "topk")


def test_streamed_images_pass_in_the_precision_of_extraction():
    config, halves, forward = kept_config(), [], 0
    config["datasets"]["inaturalist"]["cache"] = False
    for precision in ("float32", "float16"):
        config["extraction"] = {"precision": precision}
        study, geometries, counts = planned(config)
        rows = [r for r in stages(study, geometries, counts) if r.stage == "stream"]
        halves.append(sum(row.half_flops for row in rows))
        forward = sum(row.images * geometries[row.backbone].flops[row.layer] for row in rows)
    assert halves[1] - halves[0] == forward > 0


def test_reductions_of_the_paper(paper):
    features = BASE * (8 * (8 + 16 + 32) * 4 + 5 * (16 + 32) * 2)
    saes = 8 * 12 + 5 * 4
    # A bit for each code, and 2 bytes for those that are active: of K codes per patch those of
    # one feature are on a tenth of the patches.
    active = 10 * (8 * 3 * (64 + 128 + 192 + 256) + 5 * 2 * (64 + 128))
    codes = (features / 8 + features / 1024 + 2 * active) * (VAL + OTHERS)
    largest = 7 * features * 16 * (4 + 8)
    reconstructions = 4 * BASE * saes * (VAL + OTHERS)
    control = 2 * ((2 * BASE + 2 * 1920) * VAL + 4 * BASE * VAL)
    expected = codes + largest + reconstructions + control
    assert sums(paper, "encode", "written") == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("share", "text", "active"),
    [
        (0.1, "batchtopk_16x_k192", 1920),
        (1.0, "batchtopk_16x_k192", 192),
        (0.01, "batchtopk_1x_k64", 768),
        # No more than all codes of all patches.
        (0.0001, "batchtopk_32x_k64", 64 * 196),
        (0.1, "jumprelu_16x_l0_64", 640),
        (0.1, "relu_16x_l1_0.1", 16 * 768),
    ],
)
def test_active_features_are_as_many_as_the_sparsity_and_the_assumed_share_say(share, text, active):
    config = kept_config()
    config["planning"] = {"active_patches": share}
    spec = SaeSpec.from_text(text)
    assert active_features(Study(config), spec, BASE, 196) == pytest.approx(active)


def test_probes_of_the_paper(paper):
    """The multinomial probes of ImageNet take 200 evaluations, iNaturalist's 50 epochs of Adam."""
    classes = {"cub": (5_994, 200), "dtd": (3_760, 47)}
    inaturalist = 50 * 4 * 500_000 * 10_000
    raw = {
        "imagenet": 200 * 4 * 40_000 * BASE * 1000,
        "inaturalist": inaturalist * BASE,
        **{name: 200 * 4 * n * BASE * c for name, (n, c) in classes.items()},
    }
    for dataset, flops in raw.items():
        rows = [r for r in paper if (r.stage, r.work) == ("fit_raw_probes", dataset)]
        # Five backbones at block 11, three at block 3; the control arms are not scored outside.
        assert len(rows) == (8 if dataset != "imagenet" else 10)
        assert {(r.gpu_flops, r.cpu_flops) for r in rows} == {(flops, flops)}

    budgets = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    multinomial = sum(raw.values()) + 200 * 4 * 40_000 * 1000 * sum(budgets) + inaturalist * 128
    multinomial += sum(200 * 4 * n * 128 * c for n, c in classes.values())
    # The readings `as_run`: M4 by another ranking, M6 within four fifths of each test split.
    multinomial += 200 * 4 * 40_000 * 1000 * sum(budgets) + 50 * 4 * 80_000 * 10_000 * BASE
    multinomial += sum(200 * 4 * n * BASE * c for n, c in ((4_635, 200), (1_504, 47)))
    newton = 8 * 2 * 40_000 * 1000 * sum(k * k for k in budgets)
    newton += 8 * 2 * 128**2 * (500_000 * 1000 + sum(n * c for n, c in classes.values()))
    [row] = [r for r in paper if (r.stage, r.backbone, r.work) == ("score", "mae", "jumprelu")]
    assert row.gpu_flops == 4 * (multinomial + newton)
    small = 8 * 2 * 40_000 * 1000 * sum(k * k for k in budgets[:6])
    lbfgs = 50 * 4 * 40_000 * 1000 * sum(budgets[6:])
    lbfgs += 50 * 4 * 128 * (500_000 * 1000 + sum(n * c for n, c in classes.values()))
    assert row.cpu_flops == 4 * (multinomial + small + lbfgs)
    [control] = [r for r in paper if (r.stage, r.backbone) == ("score", "mae_permuted")]
    assert control.gpu_flops == control.cpu_flops == 0  # M1 and M2 fit nothing


def test_gpu_hours_are_the_slower_of_products_and_reading(paper):
    speeds = {"float32_flops": 1e12, "float16_flops": 1e13, "read_bytes": 1e9}
    row = Stage("train", "b", 0, "main", 0, 0, 3_600 * 10**9, 3_600 * 10**13, 0, "float16")
    assert row.hours(speeds) == 1.0
    assert row.hours(speeds | {"read_bytes": 5e8}) == 2.0
    assert row.hours(speeds | {"float16_flops": 2.5e12}) == 4.0
    assert sums(paper, "join", "gpu_flops") == 0
    both = Stage("encode", "b", 0, "main", 0, 0, 0, 7_200 * 10**12, 0, "float32", 3_600 * 10**12)
    assert both.hours(speeds) == pytest.approx(1.1)
    [join, *_] = [r for r in paper if r.stage == "join"]
    assert join.hours(speeds) == 0.0


# ---------------------------------------------------------------- variants


def test_stream_stores_no_activations_and_passes_once_more_for_every_sweep():
    config = kept_config()
    config["datasets"]["inaturalist"]["cache"] = False
    rows = stages(*planned(config))
    assert not [r for r in rows if r.stage == "extract" and r.work.startswith("inaturalist")]
    # main and JumpReLU on five backbones, layer 3 on three; and once for the raw features.
    assert sums(rows, "stream", "images") == 600_000 * (5 + 5 + 3)
    assert sums(rows, "reduce_raw", "images") == 600_000 * 8
    stored = sums(stages(*planned(kept_config())), "encode", "written")
    moved = sums(rows, "encode", "written") + sums(rows, "stream", "written")
    assert moved == stored


def test_lean_keeps_no_activations_to_train_on_and_passes_once_more_for_each_block():
    config = kept_config() | {"storage": "lean"}
    study, geometries, counts = planned(config)
    rows = stages(study, geometries, counts)
    # ImageNet's validation images at eight blocks, the scenes at five.
    images_256, images_196 = (VAL + MASKED) + VAL, 4 * (VAL + MASKED) + 2 * VAL
    content = (images_256 * 256 + images_196 * 196) * BASE * 2
    of_training = [r for r in rows if (r.stage, r.work) == ("extract", "imagenet/train")]
    measured = sum(row.written for row in of_training)
    written = sums(rows, "extract", "written") - measured
    assert written == pytest.approx(content, rel=3e-3)
    # Two moments of a channel for each chunk, and the images' names.
    chunks = -(-TRAIN // study.config["extraction"]["chunk_images"])
    assert measured == pytest.approx(8 * (chunks * 2 * BASE * 8 + TRAIN * 100), rel=3e-3)
    # One pass for the statistics of all blocks, and one for each block and each control.
    assert sum(row.images for row in of_training) == 5 * TRAIN
    assert sums(rows, "compute", "images") == (5 + 3 + 2) * TRAIN
    assert sums(rows, "train", "read") == 0
    # main and jumprelu are encoded together.
    assert sums(rows, "stream", "images") == (5 + 3) * OTHERS
    for stage in ("train", "rank", "score", "fit_raw_probes"):
        full = stages(*planned(kept_config()))
        assert sums(rows, stage, "gpu_flops") == sums(full, stage, "gpu_flops")
    [disk] = re.findall(r"Disk: ([\d.]+) GB", plan.summary(study, geometries, counts, rows, 0))
    assert float(disk) < 1500
    shown = " ".join(plan.summary(study, geometries, counts, rows, 0).split())
    assert "12,811,670 while SAEs train and 4,939,424 while they encode" in shown
    assert "lean" not in plan.summary(*planned(kept_config()), stages(*planned(kept_config())), 0)
    # Imported SAEs are not trained, and a study may have one data set.
    once = [row for row in rows if row.stage not in ("compute", "stream")]
    assert "lean" not in plan.summary(study, geometries, counts, once, 0)


def test_the_papers_study_fits_on_4_tb_in_20_gpu_hours(paper):
    """The sweep at block 3 keeps nothing to train on; all else is kept as if it did."""
    study, *known = planned(paper_config())
    rows = stages(study, *known)
    [disk] = re.findall(r"Disk: ([\d.]+) TB", plan.summary(study, *known, rows, free=0))
    assert float(disk) <= 4
    assert sum(row.hours(study.config["planning"]) for row in rows) <= 20
    # Block 3 is on the way to block 11, but no more where it is read.
    again = 3 * (TRAIN + 2 * OTHERS)
    assert sum(row.images for row in rows) == 5 * (TRAIN + VAL + OTHERS + MASKED) + again
    assert {(r.stage, r.layer) for r in rows if r.images} == {
        *(("extract", 11), ("compute", 3), ("reduce_raw", 3), ("stream", 3))
    }
    saved = 648 * (TRAIN + OTHERS) * BASE * 2
    written = [sums(each, "extract", "written") for each in (paper, rows)]
    assert written[0] - written[1] == pytest.approx(saved, rel=2e-3)
    for stage, quantity in product(("train", "score", "rank"), ("written", "gpu_flops")):
        assert sums(rows, stage, quantity) == sums(paper, stage, quantity)
    for quantity in ("written", "half_flops"):
        passed = sums(rows, "encode", quantity) + sums(rows, "stream", quantity)
        forward = sum(r.images * known[0][r.backbone].flops[3] for r in rows if r.stage == "stream")
        own = passed - forward * (quantity == "half_flops")
        assert own == sums(paper, "encode", quantity)


def test_sweeps_of_a_block_share_a_pass_whatever_they_are_scored_on():
    config = kept_config() | {"storage": "lean"}
    rows = stages(*planned(config))
    config["sweeps"]["jumprelu"] |= {"metrics": ["fvu", "cross_domain"], "batches": 2}
    other = stages(*planned(config))
    assert sums(other, "stream", "images") == sums(rows, "stream", "images") == (5 + 3) * OTHERS
    assert sums(other, "compute", "images") == (2 * 5 + 3 + 2) * TRAIN
    config["sweeps"]["main"]["batches"] = 2
    assert sums(stages(*planned(config)), "compute", "images") == (2 * 5 + 3 + 2) * TRAIN
    # One that is scored on its own data set alone is trained in the same pass.
    config["sweeps"]["jumprelu"] |= {"metrics": ["fvu"]}
    other = stages(*planned(config))
    assert sums(other, "compute", "images") == (2 * 5 + 3 + 2) * TRAIN
    assert sums(other, "stream", "images") == (5 + 3) * OTHERS


def made(study, of, tmp_path):
    """Write empty files for all that the SAEs `of` sweeps need, below another folder."""
    study.paths = Paths(str(tmp_path))
    for sae in (sae for sae in study.saes() if sae.sweep in of):
        splits = study.encoded_splits(study.sweeps[sae.sweep])
        paths = [study.paths.sae(sae.name, place=sae.place)]
        paths += [study.paths.reductions(sae.name, split.name, sae.place) for split in splits]
        for path in map(Path, paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def told(config, tmp_path):
    """What the plan of a study in another folder says of jobs that write files again."""
    study, geometries, counts = planned(config)
    study.paths = Paths(str(tmp_path))
    rows = stages(study, geometries, counts)
    return re.findall(r"^- (.*: .*)$", plan.summary(study, geometries, counts, rows, 0), re.M)


def test_the_plan_says_what_a_metric_that_is_added_computes_again(tmp_path):
    config = kept_config() | {"storage": "lean"}
    config["sweeps"]["jumprelu"]["metrics"] = ["fvu"]
    assert told(config, tmp_path) == []  # nothing is there
    made(Study(config), ["main", "jumprelu", "layer_3"], tmp_path)
    assert told(config, tmp_path) == []  # all is
    # It reads what is there.
    config["sweeps"]["jumprelu"]["metrics"] = ["fvu", "localization", "sparse_probing"]
    assert told(config, tmp_path) == []
    # It reads other data sets, on which the 12 main SAEs of the block are then encoded again.
    config["sweeps"]["jumprelu"]["metrics"] = ["fvu", "cross_domain"]
    assert told(config, tmp_path) == [
        f"encoding {batch} with main_and_jumprelu: {5 * 12 * 2} files, {5 * images:,} images "
        "through a network"
        for batch, images in (("inaturalist", 600_000), ("cub", 11_788), ("dtd", 5_640))
    ]


def test_the_plan_says_what_an_sae_that_is_added_computes_again(tmp_path):
    config = kept_config() | {"storage": "lean"}
    made(Study(config), ["main", "layer_3"], tmp_path)
    training, *encoding = told(config, tmp_path)
    assert training == (
        f"training main_and_jumprelu: {5 * 12} files, {5 * TRAIN:,} images through a network"
    )
    # Of the main SAEs, which are trained again, nothing is missing on the cached split.
    assert encoding[0] == f"encoding imagenet_val with main: {5 * 12} files"
    assert [line.partition(":")[0] for line in encoding[1:]] == [
        f"encoding {batch} with main_and_jumprelu" for batch in ("inaturalist", "cub", "dtd")
    ]
    # Of activations that are kept each sweep has jobs of its own, of all of its SAEs.
    config["storage"] = "full"
    assert told(config, tmp_path) == []
    config["sweeps"]["layer_3"]["grid"]["k"] = [64, 128, 192, 256, 320]
    training, *encoding = told(config, tmp_path)
    assert training == f"training layer_3: {3 * 12} files"
    assert encoding[0] == f"encoding imagenet_val with layer_3: {3 * 12} files"


def test_the_plan_says_what_reads_saes_that_are_trained_again(tmp_path):
    """Of the block alone whose SAEs are, and with all SAEs of the jobs that read them."""
    config = kept_config() | {"storage": "lean"}
    config["sweeps"]["jumprelu"]["metrics"] = ["fvu"]
    study = Study(config)
    made(study, list(study.sweeps), tmp_path)
    assert told(config, tmp_path) == []
    next((tmp_path / "saes/clip/layer11").glob("jumprelu*/model.safetensors")).unlink()
    of_block = [sae for sae in study.saes() if sae.place == "clip/layer11"]
    main, jumprelu = (sum(sae.sweep == sweep for sae in of_block) for sweep in ("main", "jumprelu"))
    assert told(config, tmp_path) == [
        f"training main_and_jumprelu: {main + jumprelu - 1} files, {TRAIN:,} images through a "
        "network",
        f"encoding imagenet_val with main: {main} files",
        f"encoding imagenet_val with jumprelu: {jumprelu} files",
        *(
            f"encoding {batch} with main: {2 * main} files, {images:,} images through a network"
            for batch, images in (("inaturalist", 600_000), ("cub", 11_788), ("dtd", 5_640))
        ),
    ]


@pytest.mark.parametrize("granularity", ["coarse", "fine"])
@pytest.mark.parametrize("shards", [1, 2])
def test_blocks_of_other_storages_share_a_pass(granularity, shards):
    """Also where one of them has a cache of more of the splits that a job extracts."""
    config = paper_config() | {"granularity": granularity}
    config["datasets"]["imagenet"]["splits"]["train"]["shards"] = shards
    study, *known = planned(config)
    rows = stages(study, *known)
    early = [r for r in rows if (r.stage, r.layer) == ("extract", 3)]
    masks = ["ade20k/training", "ade20k/validation"] if granularity == "coarse" else []
    read = ["imagenet/train", "imagenet/val", *masks]
    assert [(row.work, row.images) for row in early] == [(split, 0) for split in read] * 3
    assert sums(rows, "extract", "images") == 5 * (TRAIN + VAL + OTHERS + MASKED)


def test_each_epoch_of_lean_is_a_pass_of_its_own_and_so_is_each_batch_of_saes():
    config = kept_config() | {"storage": "lean"}
    config["training"]["epochs"] = 3
    config["sweeps"]["layer_3"]["batches"] = 2
    rows = stages(*planned(config))
    assert sums(rows, "compute", "images") == 3 * (5 + 2 * 3 + 2) * TRAIN
    passed = [r.images for r in rows if (r.stage, r.work) == ("extract", "imagenet/train")]
    assert sum(passed) == 5 * TRAIN


def test_each_training_job_reads_the_cache_and_has_a_checkpoint():
    config = kept_config()
    config["sweeps"]["main"]["batches"] = 3
    study, geometries, counts = planned(config)
    [row] = [
        r
        for r in stages(study, geometries, counts)
        if (r.stage, r.backbone, r.work) == ("train", "mae", "main")
    ]
    assert row.read == 3 * TRAIN * 196 * BASE * 2
    one = {"results/paper/saes/mae/layer11/batchtopk_8x_k64/model.safetensors"}
    [checkpoint] = resume_files(study, geometries, one)
    assert checkpoint.path == "results/paper/resume/main_1_of_3-mae-layer11"
    # Four SAEs of factor 8: weights and two moments in float32, the old file and the new.
    assert checkpoint.size == pytest.approx(2 * 3 * 4 * 4 * 8 * 2 * BASE**2, rel=1e-3)


def test_block_that_does_not_exist_is_told_before_anything_runs():
    config = kept_config()
    config["sweeps"]["layer_3"]["layer"] = 12
    with pytest.raises(
        UserError,
        match=r"sweeps\.layer_3\.layer is 12, but .* has 12 blocks, numbered 0 to 11",
    ):
        artefacts(*planned(config))


def test_number_of_images_by_index_config_or_publication(tmp_path):
    config = kept_config()
    config["datasets"]["dtd"]["splits"]["test1"]["images"] = 7
    config["datasets"]["cub"]["layout"] = "huggingface"
    folder = tmp_path / "index" / "ade20k"
    folder.mkdir(parents=True)
    write_beside(folder / "training.csv", IMAGES_FORMAT, "image_id\n1\n2\n3\n")
    write_beside(folder / "classes.csv", CLASSES_FORMAT, "label\n0\n")
    counts = count_images(Study(config), tmp_path)
    assert counts["ade20k/training"] == Count(3, 1, "index")
    assert counts["dtd/test1"] == Count(7, 47, "config")
    assert counts["imagenet/train"] == Count(TRAIN, 1000, "published")
    assert counts["cub/train"] == Count(0, 0, "unknown")
    # Files that are not indexed yet are counted, and no more of them than the config asks for.
    for number in range(3):
        path = tmp_path / "mine" / "train" / "cat" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    config["datasets"]["imagenet"]["root"] = str(tmp_path / "mine")
    assert count_images(Study(config), tmp_path)["imagenet/train"] == Count(3, 1, "files")
    config["datasets"]["imagenet"]["splits"]["train"]["images"] = 2
    assert count_images(Study(config), tmp_path)["imagenet/train"] == Count(2, 1, "files")
    # An index of before counts neither where a run writes it anew, nor against what is asked for.
    study, paths = Study(config), Paths(str(tmp_path))
    index, classes = map(Path, paths.index_and_classes("imagenet/train"))
    index.parent.mkdir(parents=True)
    write_beside(index, IMAGES_FORMAT, "image_id\n1\n")
    write_beside(classes, CLASSES_FORMAT, "label\n0\n")
    assert count_images(study, tmp_path)["imagenet/train"] == Count(2, 1, "files")
    config["datasets"]["imagenet"]["splits"]["train"]["images"] = 1
    assert count_images(Study(config), tmp_path)["imagenet/train"] == Count(1, 1, "index")
    del config["datasets"]["imagenet"]["splits"]["train"]["images"]
    study = Study(config)
    assert count_images(study, tmp_path)["imagenet/train"] == Count(1, 1, "index")
    assert count_images(study, tmp_path, {str(index)})["imagenet/train"] == Count(3, 1, "files")
    # The demo's layouts are those of published data sets, its photographs are not.
    demo = count_images(Study(demo_config()), tmp_path)
    assert {count.source for count in demo.values()} == {"unknown"}


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 45))
@settings(max_examples=25, deadline=None)
def test_capped_index_is_spread_over_the_classes(labels, images):
    records = [ImageRecord(f"{i:03d}", f"{i}.jpg", c, str(c)) for i, c in enumerate(labels)]
    index = build_index(records, [ClassRecord(c, str(c)) for c in range(5)], "here")
    capped = spread(index, images)
    assert len(capped.images) == min(images, len(labels))
    assert set(capped.images) <= set(index.images)
    assert list(capped.images) == sorted(capped.images)
    share = len(capped.images) / len(labels)
    for c in range(5):
        kept = sum(record.label == c for record in capped.images)
        assert abs(kept - share * labels.count(c)) < 1
    assert spread(index, None) is index


# ---------------------------------------------------------------- geometry


def test_shipped_geometries_are_those_of_the_models():
    from visae.backbones.shapes import measure_geometries

    for config in (kept_config(), demo_config()):
        backbones = Study(config).backbones
        assert measure_geometries(backbones) == geometry.known(backbones, shipped())


def test_unknown_geometry_is_measured_once(tmp_path):
    entry = Study(demo_config()).backbones["deit_small"]
    backbones = {"own": copy.deepcopy(entry) | {"image_size": 48}}
    found = geometry.Geometry(36, 96, (1, 2, 3, 4))
    asked = []

    def measure(entries):
        asked.append(list(entries))
        return {"own": found}

    path = tmp_path / "geometry.json"
    assert geometry.complete(backbones, path, measure) == {"own": found}
    assert geometry.complete(backbones, path, measure) == {"own": found}
    assert asked == [["own"]]
    backbones["own"]["options"] = {**entry["options"], "depth": 2}
    geometry.complete(backbones, path, measure)
    assert asked == [["own"], ["own"]]


# ---------------------------------------------------------------- the disk


def test_run_that_cannot_fit_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study, geometries, counts = planned(kept_config())
    folder = "results/paper/activations/clip/layer11"
    written = f"{folder}/cub/train/shard-00000-of-00001.h5"
    outputs = {written, "results/paper/tables/table_3.csv"}
    files = disk.written_files(study, geometries, counts, outputs)
    size = 5_994 * 196 * BASE * 2
    assert [file.path for file in files] == [written]
    assert files[0].size == pytest.approx(size, rel=0.01)

    def free(count):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=count))

    free(1.02 * size)
    disk.check_fits(study, files, counts)
    free(0.98 * size)
    cure = r"needs 1\.81 GB below results/paper .*1\.77 GB are free.*datasets\.cub\.cache: false"
    with pytest.raises(UserError, match=cure):
        disk.check_fits(study, files, counts)
    # What is there already need not find room again.
    shard = tmp_path / written
    shard.parent.mkdir(parents=True)
    with open(shard, "wb") as handle:
        handle.truncate(size // 10)
    disk.check_fits(study, files, counts)


@pytest.mark.parametrize(
    ("study_wide", "of_sweeps", "said"),
    [
        ("full", {}, "set storage to lean"),
        ("lean", {"layer_3": "full"}, r"set sweeps\.layer_3\.storage to lean"),
        ("full", {"layer_3": "full"}, r"set storage and sweeps\.layer_3\.storage to lean"),
        ("full", {"layer_3": "lean"}, "set storage to lean"),
        (
            *("lean", dict.fromkeys(("main", "jumprelu", "token_order"), "full")),
            " and ".join(
                rf"sweeps\.{name}\.storage" for name in ("main", "jumprelu", "token_order")
            ),
        ),
    ],
)
def test_a_run_that_cannot_fit_names_each_key_that_keeps_activations(
    study_wide, of_sweeps, said, monkeypatch
):
    config = kept_config() | {"storage": study_wide}
    for sweep, storage in of_sweeps.items():
        config["sweeps"][sweep]["storage"] = storage
    study, geometries, counts = planned(config)
    everything = {file.path for file in artefacts(study, geometries, counts)}
    files = disk.written_files(study, geometries, counts, everything)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(UserError, match=said):
        disk.check_fits(study, files, counts)
    # What lean stores, too, is no reason to name them.
    kept = [f for f in files if f.split is None or f.split.cached_in("lean")]
    with pytest.raises(UserError) as refused:
        disk.check_fits(study, kept, counts)
    assert "storage" not in str(refused.value)


def test_tables_and_figures_are_not_counted():
    study = Study(kept_config())
    assert not disk.has_large(study, ["results/paper/tables/table_3.csv", "results/paper/plan"])
    assert disk.has_large(study, ["results/paper/saes/clip/layer11/x/model.safetensors"])


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (2.05e12, "2.05 TB"), (65.3e9, "65.3 GB"), (2e16, "20,000 TB")],
)
def test_readable(count, text):
    assert disk.readable(count) == text


@pytest.mark.parametrize(
    "shards,written", [(1, ["train", "held_out", "val"]), (2, ["train", "val"])]
)
def test_splits_that_are_extracted_together_are_counted_together(shards, written):
    """An evaluator needs two splits of three; one job writes all three where each is one shard."""
    config = kept_config()
    names = ("train", "held_out", "val")
    config["datasets"]["imagenet"]["splits"] = {name: {"shards": shards} for name in names}
    config["training"]["threshold_split"] = "held_out"
    config["sweeps"] = {"main": config["sweeps"]["main"] | {"backbones": ["mae"]}}
    config["downstream"] = None
    study = Study(config)
    found = places(study, geometry.known(study.backbones, shipped()))
    [evaluator] = [place for place in found if place.backbone == "clip"]
    assert sorted(split.split for split in evaluator.cached) == sorted(written)
    [batch] = [part for _, part in jobs.extraction(study) if study.evaluation in part]
    assert len(batch) == (3 if shards == 1 else 1)


# ---------------------------------------------------------------- as a user meets it


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A copy of the repository beside empty folders where the paper's data sets belong."""
    folder = copy_repository(tmp_path_factory.mktemp("scale"))
    for entry in paper_config()["datasets"].values():
        (folder / entry["root"]).mkdir(parents=True)
    return folder


def test_counted_files_are_those_of_the_dag(repository):
    run = snakemake(repository, "--summary", "metrics", config=paper_config())
    kinds = "|".join(disk.LARGE)
    pattern = rf"^(results/paper/(?:{kinds})/\S+\.(?:h5|safetensors))\t"
    needed = re.findall(pattern, run.stdout, flags=re.MULTILINE)
    counted = {artefact.path for artefact in artefacts(*planned(paper_config()))}
    assert set(needed) <= counted
    # Beyond the metrics, segmentation needs the caches of the images with masks.
    assert {path for path in counted - set(needed) if "/ade20k/" not in path} == set()


def test_plan_is_printed_and_a_run_that_cannot_fit_does_not_start(repository):
    config = kept_config()
    config["datasets"]["imagenet"]["splits"]["train"]["images"] = 10**12
    write_study(repository, config)
    run = snakemake(repository, "plan")
    assert re.search(r"^\| extract \| 2[\d,]+ TB \|", run.stdout, flags=re.MULTILINE)
    written = (repository / "results/paper/plan/plan.md").read_text()
    assert "## train" in written
    assert "| mae_permuted, block 11, token_order |" in written
    assert (repository / "results/paper/plan/plan.csv").is_file()

    run = snakemake(repository, "saes", check=False)
    assert run.returncode != 0
    assert "this run needs" in run.stdout
    assert "are free there" in run.stdout
    assert not (repository / "results/paper/index").exists()


def test_documented_tables_are_the_commands():
    text = (ROOT / "docs" / "scale.md").read_text("utf-8")
    sections = text.split("\n## ")[1:]
    assert len(sections) == 5
    for section in sections:
        config = paper_config()
        for block in re.findall(r"```yaml\n(.*?)```", section, flags=re.DOTALL):
            update_config(config, yaml.safe_load(block))
        study, *known = planned(config)
        rows = stages(study, *known)
        table = "\n".join(plan.stage_table(rows, study.config["planning"]))
        assert table in section
        shown = plan.summary(study, *known, rows, free=0)
        [total] = re.findall(r"Disk: ([\d.]+ \wB)", shown)
        assert f"Disk: {total}" in section


def test_documented_comparisons_are_the_plans():
    text = (ROOT / "docs" / "scale.md").read_text("utf-8")

    def sums_of(**changes):
        config = paper_config()
        update_config(config, changes)
        study, *known = planned(config)
        rows = stages(study, *known)
        hours = sum(row.hours(study.config["planning"]) for row in rows)
        [disk] = re.findall(r"Disk: ([\d.]+ \wB)", plan.summary(study, *known, rows, free=0))
        return disk, f"{sum(row.images for row in rows):,}", f"{hours:.1f}"

    whole = {"extraction": {"precision": "float32"}}
    kept = {"sweeps": {"layer_3": {"storage": "full"}}}
    ways = kept, {}, {"storage": "lean"}
    names = "disk at most", "images through a network", "GPU-hours"
    for name, *values in zip(names, *(sums_of(**way) for way in ways), strict=True):
        assert f"| {name} | {' | '.join(values)} |" in text
    hours = [sums_of(**way, **whole)[-1] for way in ways]
    assert f"precision: float32}}` | {' | '.join(hours)} |" in text
    assert f"takes {hours[1]} GPU-hours, not {sums_of()[-1]}." in " ".join(text.split())
    columns = zip(names, *(sums_of(**way) for way in (kept | whole, kept, {})), strict=True)
    for name, *values in columns:
        row = re.escape(" | ".join(values))
        assert re.search(rf"^\| {name} \| [^|]+ \| {row} \|$", text, re.MULTILINE)
    disk, _, hours = sums_of(datasets={"inaturalist": {"cache": False}})
    assert f"{disk} at most at once, and {hours} GPU-hours." in text


def test_the_readme_has_the_sums_of_the_papers_study():
    study, *known = planned(paper_config())
    rows = stages(study, *known)
    *_, hours, _ = plan.stage_table(rows, study.config["planning"])[-1].split("|")
    [disk] = re.findall(r"Disk: ([\d.]+) TB", plan.summary(study, *known, rows, free=0))
    written, extracted = (
        sum(row.written for row in of) / 1e12
        for of in (rows, [row for row in rows if row.stage == "extract"])
    )
    text = (ROOT / "README.md").read_text("utf-8")
    cost = f"{hours.strip()} GPU-hours, counted and not measured | {float(disk):.1f} TB"
    assert cost in text
    assert f"{written:.1f} TB, {extracted:.1f} TB of it activations" in text


def test_plan_counts_no_probes_without_labels_and_says_what_is_not_computed():
    config = kept_config()
    config["datasets"]["imagenet"]["labels"] = "none"
    study, *known = planned(config)
    rows = stages(study, *known)
    shown = plan.summary(study, *known, rows, free=0)
    told = "Not computed: M3 Preservation, M4 Sparse probing, M7 Absorption, Retrieval"
    assert f"{told} (needs labels: data set imagenet has none)." in shown
    fitted = {row.work for row in rows if row.stage == "fit_raw_probes"}
    assert fitted == {"inaturalist", "cub", "dtd"}
