"""Which SAEs and data sets features are edited on, and what is refused before anything runs."""

import pytest
from study_fixtures import demo_config, paper_config

from visae.base.errors import UserError
from visae.study import jobs, roles
from visae.study.study import Study


def _edited(config):
    return [f"{sae.place}/{sae.name}" for sae in roles.edited(Study(config))]


def test_features_are_edited_at_earlier_blocks_unless_saes_are_named():
    demo, paper = demo_config(), paper_config()
    assert _edited(demo) == ["clip_small/layer1/batchtopk_4x_k24"]
    # Of the paper's grid the SAE that Figure 5 shows, or the nearest to it.
    sizes = [sae.spec for sae in roles.edited(Study(paper))]
    assert {(sae.backbone, sae.layer) for sae in roles.edited(Study(paper))} == {
        ("clip", 3), ("dinov2", 3), ("siglip", 3),
    }  # fmt: skip
    assert len({(spec.expansion_factor, spec.sparsity) for spec in sizes}) == 1
    name = "dino_small/layer3/batchtopk_8x_k24"
    assert _edited(demo | {"interventions": {"saes": [name]}}) == [name]
    del demo["sweeps"]["layer_1"]
    assert _edited(demo) == []
    assert _edited(demo_config() | {"interventions": None}) == []


def test_tasks_of_edits_are_those_with_labels_or_masks():
    config = demo_config()
    named = roles.edited_tasks(Study(config))
    assert {name: kind for name, (*_, kind) in named.items()} == {
        "textures": "classification", "mosaics": "segmentation",
    }  # fmt: skip
    config["interventions"] = {}
    whole = roles.edited_tasks(Study(config))
    assert list(whole) == ["photographs", "organisms", "digits", "textures", "faces", "mosaics"]
    assert [split.name for split in whole["mosaics"][:2]] == [
        "mosaics/training", "mosaics/validation",
    ]  # fmt: skip
    config["datasets"]["faces"]["labels"] = "none"
    assert "faces" not in roles.edited_tasks(Study(config))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"saes": ["clip_small/layer1/batchtopk_4x_k25"]},
         "interventions.saes names the SAE .*such as clip_small/layer1/batchtopk_4x_k24"),
        ({"named": {"dino_small/layer3/batchtopk_8x_k24": [1]}},
         r"interventions.named has features of dino_small.*edited \(clip_small/layer1"),
        ({"datasets": ["mosaic"]}, r"interventions.datasets names 'mosaic', which is none.*faces"),
        ({"heads": ["cls"]}, "interventions.heads"),
        ({"strengths": []}, "interventions.strengths"),
        ({"patches": [[1]]}, "interventions.patches"),
        ({"strength": [1]}, "unknown key 'strength'; did you mean 'strengths'"),
        ({"classes": 1}, "interventions.classes is 1"),
    ],
)  # fmt: skip
def test_edits_that_cannot_be_are_refused(section, said):
    with pytest.raises(UserError, match=said):
        Study(demo_config() | {"interventions": section})


def test_a_class_token_that_no_edit_reaches_is_refused_before_anything_runs():
    config, name = paper_config(), "clip/layer11/batchtopk_16x_k192"
    config["interventions"] = {"saes": [name], "heads": ["class_token"]}
    with pytest.raises(UserError, match=f"{name} reads the last block of clip: nothing is left"):
        Study(config)
    config["interventions"]["heads"] = ["pooled_patches"]
    assert _edited(config) == [name]


def test_features_of_a_backbone_are_edited_by_one_job():
    paper = Study(paper_config())
    assert [(name, len(saes)) for name, saes in jobs.editing(paper)] == [
        ("clip", 1), ("dinov2", 1), ("siglip", 1),
    ]  # fmt: skip
    assert [(name, len(saes)) for name, saes in jobs.editing(Study(demo_config()))] == [("all", 1)]
