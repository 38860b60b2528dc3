"""What cannot be trained is refused before anything runs."""

import pytest
from study_fixtures import change, demo_config

from visae.backbones.geometry import Geometry
from visae.base.errors import UserError
from visae.plan.feasible import check_training
from visae.plan.images import Count
from visae.study.study import Study


def check(changes=(), images=10_000, source="index"):
    config = demo_config()
    for path, value in dict(changes).items():
        change(config, path, value)
    study = Study(config)
    geometries = {name: Geometry(49, 96, (1,) * 4) for name in study.backbones}
    check_training(study, geometries, {study.training.name: Count(images, 2, source)})


def test_what_can_work_is_let_through():
    check()


def test_a_single_step_is_refused_with_what_to_change():
    one_step = {"training.batch_size": 8192, "training.epochs": 1}
    with pytest.raises(UserError, match=r"7,840 tokens of .*1 step of training\.batch_size 8,192"):
        check(one_step, images=160)
    check(one_step | {"training.minimum_steps": 1}, images=160)
    check(one_step, images=160, source="published")
    check(one_step | {"training.epochs": 10}, images=160)


@pytest.mark.parametrize(
    ("family", "key"), [("batchtopk", "k"), ("topk", "k"), ("jumprelu", "target_l0")]
)
def test_more_active_features_than_there_are(family, key):
    sweep = {
        "family": family,
        "grid": {"expansion_factor": [4], key: [385]},
        "backbones": ["mae_small"],
    }
    with pytest.raises(
        UserError, match=r"sweeps\.odd\.grid on mae_small: .*385 active.*384 in all"
    ):
        check({"sweeps.odd": sweep})
    sweep["grid"][key] = [384]
    check({"sweeps.odd": sweep})
