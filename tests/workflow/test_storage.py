"""`storage: lean` leaves behind the scores of `full`, and `full` is what was there before.

In one study: the main sweep is lean, and one of another block is not.
"""

import json

import pytest
from workflow_fixtures import (
    copy_repository,
    plan,
    small_config,
    snakemake,
    study_folder,
    tiny_config,
)

from visae.base.seals import recorded

PLACE, KEPT = "dino_small/layer3", "dino_small/layer1"
METRICS = ("localization", "fvu", "cross_domain")
CACHE = f"activations/{PLACE}/photographs/train.h5"


def config(**changes):
    """Of one backbone, scored on its own data set and on another one."""
    small, tiny = small_config(), tiny_config()
    small["datasets"]["digits"] = tiny["datasets"]["digits"]
    small["metrics"]["cross_domain"] = tiny["metrics"]["cross_domain"]
    small["sweeps"]["main"] |= {"metrics": list(METRICS), "backbones": ["dino_small"]}
    small["sweeps"]["main"]["grid"] = {"expansion_factor": [2], "k": [8]}
    early = {"layer": 1, "storage": "full", "metrics": ["fvu", "cross_domain"]}
    small["sweeps"]["early"] = small["sweeps"]["main"] | early
    return small | changes


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """The results with `full`, those with `lean`, and the jobs that `lean` planned."""
    folder = copy_repository(tmp_path_factory.mktemp("storage"))
    targets = [f"results/tiny/metrics/{PLACE}/batchtopk_2x_k8/{metric}.json" for metric in METRICS]
    targets.append(f"results/tiny/metrics/{KEPT}/batchtopk_2x_k8/cross_domain.json")
    snakemake(folder, *targets, config=config())
    assert plan(folder, *targets, config=config(storage="full")) == {}
    results = study_folder(folder)
    full = folder / "full" / "tiny"
    full.mkdir(parents=True)
    for kind in ("activations", "saes", "reductions", "rankings", "probes", "metrics"):
        (results / kind).rename(full / kind)
    jobs = plan(folder, *targets, config=config(storage="lean"))
    snakemake(folder, *targets)
    return full, results, jobs


def test_scores_are_the_same_byte_by_byte(studies):
    full, lean, jobs = studies
    assert jobs["join_all"] == jobs["join_all_full"] == 1
    assert jobs["stream_raw_all"] == jobs["stream_saes_main_all"] == 1
    # One pass, though of one block fewer data sets are cached.
    assert jobs["extract_all_blocks_1_full_3"] == jobs["encode_early_all"] == 1
    assert not {"extract_all", "extract_all_full"} & {*jobs}
    assert jobs["reduce_raw_all"] == jobs["reduce_raw_all_full"] == 1
    found = [path.relative_to(full) for path in sorted((full / "metrics").rglob("*.*"))]
    assert {path.stem for path in found} == {*METRICS}
    for path in found:
        if path.stem != "cross_domain" or KEPT in str(path):
            assert (full / path).read_bytes() == (lean / path).read_bytes()
            continue
        one, other = (json.loads((home / path).read_text()) for home in (full, lean))
        # Its seal says what it was made of: of images, where there were caches of them.
        assert one.pop("seal")["made_of"] != other.pop("seal")["made_of"]
        assert json.dumps(one) == json.dumps(other)


def test_weights_are_the_same_and_no_activations_to_train_on_are_there(studies):
    full, lean, _ = studies
    saes = [path for path in (full / "saes").rglob("*.*") if path.is_file()]
    assert len(saes) == 6
    for path in saes:
        assert path.read_bytes() == (lean / path.relative_to(full)).read_bytes()
    assert recorded(full / CACHE)["digest"] == recorded(lean / CACHE)["digest"]
    shards, measured = (
        [
            {"/".join(path.parts[-3:-1]) for path in (home / "activations" / at).rglob(f"{kind}-*")}
            for home, at in ((full, PLACE), (lean, PLACE), (lean, KEPT))
        ]
        for kind in ("shard", "measured")
    )
    everything = {"photographs/train", "photographs/val", "digits/train", "digits/test"}
    assert shards == [everything, {"photographs/val"}, everything]
    assert measured == [set(), {"photographs/train"}, set()]
