"""`storage: lean` leaves behind the scores of `full`, and `full` is what was there before."""

import json
import shutil

import numpy as np
import pytest
from workflow_fixtures import plan, snakemake, study_folder, tiny_config

from visae.base.seals import recorded

KINDS = ("activations", "saes", "reductions", "rankings", "probes", "metrics", "downstream")
PLACE = "dino_small/layer3"


@pytest.fixture(scope="module")
def lean(finished, tmp_path_factory):
    """The finished study, whose scores of one backbone were made again with `storage: lean`."""
    folder = tmp_path_factory.mktemp("lean") / "study"
    shutil.copytree(finished, folder, symlinks=True)
    results = study_folder(folder)
    targets = [
        str(path.relative_to(folder))
        for kind in ("metrics", "downstream")
        for path in sorted((results / kind / PLACE).rglob("*.json"))
    ]
    for kind in KINDS:
        shutil.rmtree(results / kind)
    jobs = plan(folder, *targets, config=tiny_config(storage="lean"))
    assert jobs["measure_photographs_train"] == 2
    assert not [job for job in jobs if job.startswith(("index", "pretrain"))]
    snakemake(folder, *targets)
    return folder


def without_seal(path):
    return {key: value for key, value in json.loads(path.read_text()).items() if key != "seal"}


def test_scores_are_the_same_byte_by_byte_but_for_their_seals(finished, lean):
    own, full = study_folder(lean), study_folder(finished)
    found = [
        path.relative_to(own)
        for kind in ("metrics", "downstream")
        for path in sorted((own / kind / PLACE).rglob("*.*"))
    ]
    assert len({path.stem for path in found}) >= 9
    for path in found:
        if path.suffix == ".json":
            assert json.dumps(without_seal(own / path)) == json.dumps(without_seal(full / path))
        else:
            with np.load(own / path) as one, np.load(full / path) as other:
                assert one.files == other.files
                for name in set(one.files) - {"seal"}:
                    assert one[name].tobytes() == other[name].tobytes(), (path, name)


def test_saes_are_the_same_and_no_activations_to_train_on_are_there(finished, lean):
    own, full = study_folder(lean), study_folder(finished)
    saes = sorted((own / "saes" / PLACE).rglob("*.safetensors"))
    assert len(saes) == 2
    for path in saes:
        assert path.read_bytes() == (full / path.relative_to(own)).read_bytes()
    cache = f"activations/{PLACE}/photographs/train.h5"
    assert recorded(own / cache)["digest"] == recorded(full / cache)["digest"]
    shards = {
        "/".join(path.parts[-3:-1]) for path in (own / "activations" / PLACE).rglob("shard-*")
    }
    assert "photographs/val" in shards
    assert shards.isdisjoint({"photographs/train", "digits/train", "digits/test"})
    assert any(full.joinpath("activations", PLACE, "photographs/train").glob("shard-*"))


def test_full_is_the_default_and_plans_nothing_new(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder, symlinks=True)
    assert plan(folder, config=tiny_config(storage="full")) == {}
