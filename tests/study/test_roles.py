"""The parts of the paper are played by the sweeps and SAEs that it names, or the nearest."""

from types import SimpleNamespace

import pytest
from study_fixtures import demo_config, paper_config

from visae.study import roles
from visae.study.study import Study


def test_control_pairs_each_permuted_backbone_with_its_raster_self():
    study = Study(paper_config())
    assert roles.control(study).name == "token_order"
    assert roles.control_arms(study) == [("mae", "mae_permuted"), ("dinov2", "dinov2_permuted")]
    assert roles.control_arms(Study(demo_config())) == [("mae_small", "mae_permuted")]
    assert set(roles.control(study).sae_names()) <= set(roles.main(study).sae_names())
    assert roles.early(study).name == "layer_3"
    assert roles.compared_layers(study) == (3, 11)
    assert roles.second_family(study).name == "jumprelu"


def test_a_control_may_have_a_seed_of_its_own_and_is_of_a_backbone_in_raster_order():
    config = paper_config()
    config["backbones"]["mae_permuted"]["seed"] = 7
    study = Study(config)
    assert roles.control_arms(study) == [("mae", "mae_permuted"), ("dinov2", "dinov2_permuted")]
    study = Study(config, check=False)
    study.backbones["mae"]["token_order"] = "forward"
    assert roles.control_arms(study) == [("dinov2", "dinov2_permuted")]
    study.backbones["dinov2"]["storage"] = "float32"
    assert roles.control_arms(study) == []


def test_audited_sae_is_the_papers_or_the_nearest():
    config = paper_config()
    assert roles.audited(Study(config)).name == "batchtopk_16x_k192"
    for grid, name in (
        ({"expansion_factor": [4, 64, 8], "k": [128, 256]}, "batchtopk_8x_k256"),
        ({"expansion_factor": [8, 32], "k": [400, 100]}, "batchtopk_8x_k100"),
    ):
        config["sweeps"]["main"]["grid"] = grid
        config["sweeps"]["token_order"]["grid"] = {key: value[:1] for key, value in grid.items()}
        assert roles.audited(Study(config)).name == name
    assert roles.audited(Study(demo_config())).name == "batchtopk_8x_k24"


@pytest.mark.parametrize(
    ("said", "backbones", "judged"),
    [("auto", 5, True), ("auto", 4, False), ("always", 1, True), ("never", 5, False)],
)
def test_claims_are_judged_where_all_five_backbones_have_a_part(said, backbones, judged):
    config = demo_config()
    config["report"] = {"claims": said}
    config["sweeps"] = {"main": config["sweeps"]["main"]}
    kept = list(config["backbones"])[:backbones]
    config["sweeps"]["main"]["backbones"] = kept
    assert roles.judged(Study(config)) is judged


def test_a_sweep_that_is_elsewhere_on_all_of_its_backbones_is_the_early_one():
    def sweep(family="batchtopk", **layers):
        return SimpleNamespace(family=family, layers=layers, folders={})

    first = sweep(clip=11, mae=11, deit=11)
    partly, other = sweep(clip=3, mae=11), sweep("topk", clip=3, mae=3)
    early, later = sweep(clip=3, mae=3), sweep(clip=5, mae=5)
    sweeps = {"main": first, "partly": partly, "other": other, "early": early, "later": later}
    assert roles.early(SimpleNamespace(sweeps=sweeps)) is early
    del sweeps["early"], sweeps["later"]
    assert roles.early(SimpleNamespace(sweeps=sweeps)) is None
    # SAEs of people's own play no part of the paper.
    own = sweep(clip=3, mae=3)
    own.folders = {"clip": {"mine": "folder"}}
    assert roles.early(SimpleNamespace(sweeps={"main": first, "own": own})) is None
    # A backbone that the main sweep lacks has no other block there.
    unknown = {"main": first, "new": sweep(siglip=3)}
    assert roles.early(SimpleNamespace(sweeps=unknown)) is None


def test_the_parts_of_the_papers_study():
    found = roles.Roles.of(Study(paper_config()))
    assert vars(found) == {
        "main": "main",
        "jumprelu": "jumprelu",
        "early": "layer_3",
        "backbones": {name: name for name in roles.BACKBONES},
        "tasks": {"cub": "cub200", "dtd": "dtd", "inaturalist": "inaturalist"},
    }
    config = paper_config()
    config["sweeps"] = {"main": config["sweeps"]["main"]}
    found = roles.Roles.of(Study(config, check=False))
    assert (found.main, found.jumprelu, found.early) == ("main", None, None)
