"""The arms of the control of M1: each backbone once, with the score that is its own."""

from study_fixtures import paper_config

from visae.products import token_order_table
from visae.products.token_order_figure import entry as figure
from visae.study.study import Study


def test_a_backbone_with_two_controls_is_one_arm():
    config = paper_config()
    config["backbones"]["mae_again"] = config["backbones"]["mae_permuted"] | {"seed": 7}
    config["sweeps"]["token_order"]["backbones"].append("mae_again")
    study = Study(config)
    arms = token_order_table.ENTRY.settings(study)["arms"]
    read = token_order_table.ENTRY.reads(study, study.paths)
    orders = [(arm["backbone"], arm["token_order"]) for arm in arms]
    assert orders == [
        ("mae", "raster"),
        ("mae", "permuted"),
        ("dinov2", "raster"),
        ("dinov2", "permuted"),
        ("mae", "permuted"),
    ]
    folders = ["mae", "mae_permuted", "dinov2", "dinov2_permuted", "mae_again"]
    for name in ("scores", "raw"):
        assert [path.split("/")[3] for path in read[name]] == folders
    assert "n = 5 SAEs" in figure.ENTRY.over(study)
