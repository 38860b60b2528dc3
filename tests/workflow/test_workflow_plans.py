"""What Snakemake plans: the paper's study in full, one thing by name, nothing that is not asked."""

import os
import re
import shutil
from pathlib import Path

import pytest
from study_fixtures import as_run_config, kept_config, paper_config, released_config
from workflow_fixtures import copy_repository, plan, snakemake, write_study

from visae.base.paths import Paths, place
from visae.study.study import Study


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository beside empty folders where the paper's data sets belong."""
    folder = copy_repository(tmp_path_factory.mktemp("plans"))
    for entry in paper_config()["datasets"].values():
        (folder / entry["root"]).mkdir(parents=True)
    return folder


@pytest.fixture
def repository(copy):
    """The same with the paper's study, which tests change; what is planned is not run."""
    write_study(copy, paper_config())
    return copy


def test_whole_paper_is_planned(repository):
    jobs = plan(repository, config=paper_config())
    # Three backbones at blocks 3 and 11 in one pass, two at block 11: 8 training shards each.
    # At block 3 training activations are measured in it, but not kept.
    assert jobs["extract_imagenet_train_blocks_3_lean_11"] == 3 * 8
    assert jobs["extract_imagenet_train"] == 2 * 8
    assert jobs["stream_raw_inaturalist"] == jobs["stream_saes_layer_3_inaturalist"] == 3
    assert jobs["train_main"] == jobs["train_jumprelu"] == 5
    assert jobs["train_layer_3"] == 3
    assert jobs["extract_imagenet_val_blocks_3_11"] == 3
    assert jobs["extract_imagenet_val"] == 2
    # Both splits of a small data set are one job.
    assert jobs["extract_cub"] == jobs["reduce_raw_cub"] == jobs["join_imagenet_train"] == 5
    assert jobs["join_imagenet_train_lean"] == 3
    assert jobs["reduce_raw_imagenet_val"] == 10
    # Masks are read at block 11 alone.
    assert jobs["extract_ade20k"] == 5
    # Two permuted, which nothing else extracts.
    assert jobs["permute_imagenet_train"] == jobs["permute_imagenet_val"] == 2
    assert jobs["evaluate_token_order_localization"] == 2
    assert "evaluate_token_order_absorption" not in jobs
    assert jobs["encode_main_imagenet_val"] == 5
    for metric in ("localization", "fvu", "cross_domain", "absorption"):
        assert jobs[f"evaluate_main_{metric}"] == 5
    assert jobs["figure_3"] == jobs["table_3"] == jobs["collect_scores"] == 1


def test_where_everything_is_kept_blocks_come_from_one_pass(repository):
    jobs = plan(repository, config=kept_config())
    # Three backbones at blocks 3 and 11 in one pass, two at block 11: 8 training shards each.
    assert jobs["extract_imagenet_train_blocks_3_11"] == 3 * 8
    assert jobs["extract_imagenet_train"] == 2 * 8
    assert jobs["extract_cub_blocks_3_11"] == 3
    assert jobs["extract_cub"] == 2
    assert jobs["reduce_raw_cub"] == jobs["join_imagenet_train"] == 8
    assert not any(name.startswith(("measure", "stream")) for name in jobs)


def test_where_little_is_kept_sweeps_of_a_block_share_a_pass_and_are_scored_apart(repository):
    config = kept_config() | {"storage": "lean"}
    config["sweeps"]["jumprelu"] |= {"metrics": ["fvu", "localization"], "batches": 2}
    jobs = plan(repository, config=config)
    trained = [name for name in jobs if name.startswith("train_main")]
    assert trained == ["train_main_and_jumprelu_1_of_2", "train_main_and_jumprelu_2_of_2"]
    assert jobs["stream_saes_main_inaturalist"] == jobs["encode_jumprelu_imagenet_val"] == 5
    assert jobs["evaluate_main_fvu"] == jobs["evaluate_jumprelu_fvu"] == 5
    del config["sweeps"]["jumprelu"]["metrics"]
    jobs = plan(repository, config=config)
    assert jobs["stream_saes_main_and_jumprelu_inaturalist"] == 5
    assert jobs["encode_main_imagenet_val"] == jobs["encode_jumprelu_imagenet_val"] == 5


def test_the_study_as_it_was_run_is_planned(repository):
    jobs = plan(repository, config=as_run_config())
    assert jobs["train_main"] == jobs["encode_main_imagenet_val"] == 5
    assert jobs["extract_imagenet_train"] == 5 * 8
    assert "train_jumprelu" not in jobs


def test_the_released_saes_are_planned_without_the_network(repository):
    jobs = plan(repository, config=released_config())
    assert jobs["fetch_main"] == jobs["inspect_main"] == jobs["import_main"] == 5
    assert "train_main" not in jobs
    names = Study(released_config()).sweeps["main"].sae_names()
    assert len(names) == 12
    assert "batchtopk_16x_k128" in names


def test_one_sae_needs_its_backbone_only(repository):
    path = "results/paper/saes/clip/layer11/batchtopk_16x_k128/model.safetensors"
    jobs = plan(repository, path, config=kept_config())
    assert jobs == {
        "index_imagenet": 1,
        "extract_imagenet_train_blocks_3_11": 8,
        "extract_imagenet_val_blocks_3_11": 1,
        "join_imagenet_train": 1,
        "join_imagenet_val": 1,
        "train_main": 1,
    }


def test_a_block_that_is_asked_for_later_is_extracted_alone_and_a_killed_pass_goes_on(repository):
    write_study(repository, kept_config())
    study, results = Study(kept_config()), repository / "results/paper"
    study.paths = Paths(str(results))
    split = study.training
    there = [*study.paths.index_and_classes(split.name), study.paths.inventory(split.dataset)]
    there.append(study.paths.index(study.evaluation.name))
    shards = [(block, number) for block in (3, 11) for number in range(split.shards)]
    for backbone, done in {
        "clip": [(block, number) for block, number in shards if block == 11],
        "siglip": [(block, number) for block, number in shards if number < 5],
    }.items():
        for block, number in done:
            at = place(backbone, block)
            there.append(study.paths.shard(split.name, number, split.shards, at))
    for number, path in enumerate(there):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
        os.utime(path, (number, number))
    wanted = [("clip", 3), ("clip", 11), ("siglip", 11), ("siglip", 3)]
    caches = [Paths("results/paper").cache(split.name, place(*each)) for each in wanted]
    # A job of a pass that was planned before on a cluster, which reads the rules again.
    job = ("--target-jobs", "extract_imagenet_train_blocks_3_11:backbone=clip,shard=00007")
    allowed = ("--allowed-rules", "extract_imagenet_train_blocks_3_11", "--mode", "remote")
    try:
        jobs = plan(repository, *caches)
        run = snakemake(repository, "--dry-run", *job, *allowed)
    finally:
        shutil.rmtree(results)
    assert "Extracting imagenet_train activations of clip, blocks 3, 11" in run.stdout
    assert jobs == {
        "extract_imagenet_train": 8,  # block 3 of CLIP
        "extract_imagenet_train_blocks_3_11": 3,  # what is left of SigLIP
        "join_imagenet_train": 4,
    }


def test_one_score_needs_no_other_data_set(repository):
    path = "results/paper/metrics/mae/layer11/batchtopk_8x_k64/fvu.json"
    jobs = plan(repository, path)
    assert jobs["evaluate_main_fvu"] == 1
    assert not [rule for rule in jobs if "inaturalist" in rule or "cub" in rule or "dtd" in rule]
    assert not [rule for rule in jobs if rule.startswith(("rank", "fit_raw"))]


def test_figure_1b_needs_the_main_sweep_only(repository):
    jobs = plan(repository, "figure_1b")
    assert jobs["figure_1b"] == 1
    assert jobs["evaluate_main_localization"] == 5
    assert not [rule for rule in jobs if "jumprelu" in rule or "layer_3" in rule]


def test_figure_3_trains_and_encodes_the_main_sweep_only(repository):
    jobs = plan(repository, "figure_3")
    assert jobs["collect_scores_of_sweep"] == jobs["figure_3"] == 1
    assert "collect_scores" not in jobs
    others = ("jumprelu", "layer_3", "token_order")
    assert not [rule for rule in jobs if any(other in rule for other in others)]
    both = plan(repository, "table_9")
    assert both["train_main"] == both["train_jumprelu"] == 5
    assert both["collect_scores_of_sweep"] == 2
    assert not [rule for rule in both if "layer_3" in rule or "token_order" in rule]


def edges_of_rules(repository, *targets, config=None):
    """[(rule, a rule that reads what it writes), …] of what is planned."""
    graph = snakemake(repository, "--rulegraph", "dot", "--", *targets, config=config).stdout
    names = dict(re.findall(r'^\s*(\d+)\s*\[.*?label *= *"(\w+)', graph, flags=re.MULTILINE))
    edges = re.findall(r"^\s*(\d+) -> (\d+)", graph, flags=re.MULTILINE)
    return [(names[read], names[reader]) for read, reader in edges]


def test_no_score_reads_an_activation_cache(repository):
    """Nor do rankings and probes: a cache is read where it is trained on, encoded or pooled."""
    edges = edges_of_rules(repository, "metrics")
    steps = {
        storage: {
            reader.partition("_")[0]
            for read, reader in edges
            if read.startswith("join_") and read.endswith("_lean") == (storage == "lean")
        }
        for storage in ("full", "lean")
    }
    of_statistics = {"train", "stream", "reduce"}
    assert steps == {"full": {"train", "encode", "reduce", "permute"}, "lean": of_statistics}


def test_figure_5_needs_one_metric_of_the_main_sweep_and_a_look_at_its_images(repository):
    jobs = plan(repository, "figure_5")
    audits = {f"audit_{backbone}" for backbone in ("dinov2", "clip", "siglip", "mae", "deit")}
    assert set(jobs) == {
        *("index_imagenet", "extract_imagenet_train", "extract_imagenet_val"),
        *("extract_imagenet_train_blocks_3_lean_11", "extract_imagenet_val_blocks_3_11"),
        *("join_imagenet_train", "join_imagenet_val", "train_main", "encode_main_imagenet_val"),
        *("evaluate_main_localization", "figure_5"),
        *audits,
    }
    assert all(jobs[audit] == 1 for audit in audits)
    one = plan(repository, "results/paper/examples/clip/layer11/batchtopk_16x_k192.h5")
    assert one["audit_clip"] == one["train_main"] == one["evaluate_main_localization"] == 1
    assert "audit_mae" not in one


def test_targets_by_kind(repository):
    saes = plan(repository, "saes")
    assert "figure_3" not in saes
    assert saes["train_layer_3"] == 3
    metrics = plan(repository, "metrics")
    assert metrics["evaluate_layer_3_monosemanticity"] == 3
    assert "collect_scores" not in metrics
    assert plan(repository, "tables")["table_4"] == 1
    assert plan(repository, "figures")["training_curves"] == 1


def test_missing_data_set_is_told_before_any_job(repository):
    config = paper_config()
    config["datasets"]["imagenet"]["root"] = "nowhere/imagenet"
    run = snakemake(repository, "--dry-run", "figure_1b", config=config, check=False)
    assert run.returncode != 0
    assert "datasets.imagenet.root is 'nowhere/imagenet', which is not a folder" in run.stdout


def test_data_set_that_is_not_asked_for_may_be_missing(repository):
    config = paper_config()
    config["datasets"]["dtd"]["root"] = "nowhere/dtd"
    assert plan(repository, "figure_1b", config=config)["figure_1b"] == 1


def test_mistake_in_the_config_is_one_sentence(repository):
    config = paper_config()
    config["backbones"]["clip"]["loader"] = "opn_clip"
    run = snakemake(repository, "--dry-run", config=config, check=False)
    assert run.returncode != 0
    assert "backbones.clip.loader is 'opn_clip'" in run.stdout
    assert "did you mean 'open_clip'?" in run.stdout
    assert "Traceback" not in run.stdout


def test_sae_of_no_sweep_is_refused(repository):
    path = "results/paper/saes/clip/layer11/batchtopk_16x_k100/model.safetensors"
    run = snakemake(repository, "--dry-run", path, config=paper_config(), check=False)
    assert run.returncode != 0
    assert "MissingRuleException" in run.stdout


def test_jobs_of_sweeps_and_data_sets_whose_names_read_alike_are_told_apart(repository):
    """`main` on `raw_cub`, and `main_raw` on `cub`; a sweep `raw`, and raw features."""
    config = paper_config()
    of_m6, sweeps = config["metrics"]["cross_domain"]["datasets"], config["sweeps"]
    for parts, old, new in (
        *((config["datasets"], "dtd", "raw_cub"), (of_m6, "dtd", "raw_cub")),
        *((sweeps, "jumprelu", "main_raw"), (sweeps, "layer_3", "raw")),
    ):
        parts[new] = parts.pop(old)
    config["downstream"]["sweeps"] = ["raw"]
    jobs = plan(repository, config=config)
    assert jobs["encode_main_raw_cub"] == jobs["encode_main_raw_cub_2"] == 5
    assert (jobs["evaluate_raw_retrieval"], jobs["evaluate_raw_retrieval_2"]) == (5 + 3, 3)


def test_a_block_with_fewer_splits_is_made_of_the_same_alone_as_with_another(repository):
    """Else it would be extracted again once the other block is there, too."""
    config = paper_config() | {"study": "alone", "granularity": "coarse"}
    study = Study(config)
    for split in study.splits("full"):
        for number in range(split.shards):
            path = repository / study.paths.shard(
                split.name, number, split.shards, place("clip", 11)
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    edges = edges_of_rules(repository, "metrics", config=config)
    alone, with_another = (
        {read for read, reader in edges if reader == rule}
        for rule in ("extract_all_lean", "extract_all_blocks_3_lean_11")
    )
    assert "index_inaturalist" in alone
    assert alone == with_another
