"""What the report says of edits: a picture, a line, and a link to the page."""

import numpy as np
import pytest
from study_fixtures import demo_config

from visae.base.errors import UserError
from visae.interventions.pages import write_edit_card
from visae.interventions.settings import CARD_FORMAT
from visae.report.page import _environment
from visae.report.sae_pages import sae_pages
from visae.study import roles
from visae.study.study import Study

CARD = {
    "feature": 7, "class": "grass <b>", "dataset": "mosaics", "head": "single patches",
    "kind": "segmentation", "strength": -1.5, "target": 0.625, "other": 0.04,
    "random_target": None, "random_other": 0.0,
}  # fmt: skip


def pages_of(study, sae, card):
    cards = {(sae.place, sae.name): card}
    return sae_pages(study, roles.edited(study), cards, CARD_FORMAT, study.paths.interventions)


def shown(tmp_path, card):
    study = Study(demo_config())
    [sae] = roles.edited(study)
    paths = {name: tmp_path / name for name in ("card.webp", "card.json")}
    write_edit_card(paths["card.json"], card, [np.zeros((8, 8, 3), np.uint8)] * 3, [])
    found = pages_of(study, sae, paths["card.json"])
    page = _environment().get_template("interventions.html.jinja").render(interventions=found)
    return found, " ".join(page.split()), paths


def test_a_line_and_a_picture_of_the_edit(tmp_path):
    [pages], page, _ = shown(tmp_path, CARD)
    assert pages.size == (8 * 3 + 2 * 6, 8)
    link = "../interventions/clip_small/layer1/batchtopk_4x_k24/index.html"
    assert page.count(f'href="{link}"') == 2
    assert "feature 7, which tells grass &lt;b&gt;, edited with strength −1.5:" in page
    assert "62 % of the class's patches change, 4 % of the others (mosaics, single patches" in page
    assert "equal size: – and 0 %" in page


def test_without_any_feature_there_is_a_line_alone(tmp_path):
    _, page, _ = shown(tmp_path, {"feature": None})
    assert "no feature tells a class" in page
    assert "<img" not in page


def test_a_picture_of_another_card_is_refused(tmp_path):
    _, _, paths = shown(tmp_path, CARD)
    other = tmp_path / "other"
    other.mkdir()
    others = {name: other / name for name in paths}
    write_edit_card(others["card.json"], CARD | {"feature": 8}, [np.ones((8, 8, 3), np.uint8)], [])
    for ending in ("", ".seal"):
        source = others["card.webp"].with_name(f"card.webp{ending}")
        paths["card.webp"].with_name(source.name).write_bytes(source.read_bytes())
    study = Study(demo_config())
    [sae] = roles.edited(study)
    with pytest.raises(UserError, match="were not written together"):
        pages_of(study, sae, paths["card.json"])


def test_without_cards_there_are_no_pages():
    study = Study(demo_config())
    edited = roles.edited(study)
    assert edited
    assert sae_pages(study, edited, {}, CARD_FORMAT, study.paths.interventions) == []
