"""What pretraining brought, as a table and as a figure."""

import numpy as np
import pytest
from figure_fixtures import assert_fits_and_counts, assert_labels_are_apart, texts

from visae.figures import style
from visae.pretraining.records import write_sanity
from visae.products.pretraining_figure import make as pretraining
from visae.tables.pretraining import pretraining_table

NAMES = {"dino_small": "DINO (small)", "mae_small": "MAE (small)", "deit_small": "DeiT (small)"}
STYLES = style.backbone_styles(NAMES)


def sanity(backbone, before, after):
    return {
        **{"backbone": backbone, "seed": 1, "objective": "mae", "steps": 20, "batch_size": 16},
        **{"training_images": 96, "evaluation_images": 540, "classes": 54},
        "random": {"probe_accuracy": before, "effective_rank": 60.0},
        "pretrained": {"probe_accuracy": after, "effective_rank": 30.0},
        **{"gain": after - before, "gain_standard_error": 0.02},
        **{"first_loss": 1.5, "last_loss": 0.5, "seconds": 3.0},
    }


@pytest.fixture
def paths(tmp_path):
    """`sanity.json` of three backbones in two studies; DINO loses what DeiT gains."""
    found = []
    for study, more in (("one", 0.0), ("two", 0.02)):
        for backbone, gain in zip(NAMES, (-0.05, 0.01, 0.05), strict=True):
            path = tmp_path / study / "pretraining" / backbone / "sanity.json"
            path.parent.mkdir(parents=True)
            write_sanity(path, sanity(backbone, 0.4, 0.4 + gain + more))
            found.append(path)
    return found


def logs():
    records = [
        {"phase": "teacher", "loss": 9.0, "images": 16},
        *({"phase": "pretraining", "loss": 4.0 / n, "images": 160 * n} for n in range(1, 6)),
    ]
    return dict.fromkeys(NAMES, records)


def test_rows_tell_studies_and_backbones_apart(paths):
    rows = pretraining_table(paths).rows
    assert [(row["study"], row["backbone"]) for row in rows] == [
        (study, backbone) for study in ("one", "two") for backbone in NAMES
    ]
    assert [row["gain"] for row in rows] == pytest.approx([-0.05, 0.01, 0.05, -0.03, 0.03, 0.07])
    assert {(row["accuracy_random"], row["rank"]) for row in rows} == {(0.4, 30.0)}


@pytest.mark.parametrize("studies", [1, 2])
def test_the_figure_says_which_backbones_gained_nothing(paths, studies):
    figure = pretraining.draw(pretraining_table(paths[: 3 * studies]).rows, logs(), STYLES)
    assert_labels_are_apart("pretraining", figure)
    assert_fits_and_counts("pretraining", figure)
    gains = [text for text in texts(figure) if "±" in text and text[0] in "+−"]
    if studies == 1:  # the error of the images
        assert gains == ["−5.0 ± 2.0\nnot above random", "+1.0 ± 2.0", "+5.0 ± 2.0"]
    else:  # the error between the studies
        assert gains == ["−4.0 ± 1.0\nnot above random", "+2.0 ± 1.0", "+6.0 ± 1.0"]


def test_losses_are_those_of_the_backbone_and_not_of_its_teacher(paths):
    figure = pretraining.draw(pretraining_table(paths).rows, logs(), STYLES)
    for line in figure.axes[2].get_lines():
        np.testing.assert_allclose(line.get_ydata(), 1 / np.arange(1, 6))
        np.testing.assert_allclose(line.get_xdata(), 0.16 * np.arange(1, 6))
