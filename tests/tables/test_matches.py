"""The table of matches is what the cards say, pair by pair; the figure is drawn of it."""

import numpy as np
import pytest
from match_fixtures import match_card

from visae.audit.cards import MATCHES, write_card
from visae.base.errors import UserError
from visae.base.seals import write_document
from visae.products import PRODUCTS
from visae.tables.layout import write
from visae.tables.matches import matches_table


def card(folder, left, right, **changes):
    path = folder / f"{left.replace('/', '-')}+{right.replace('/', '-')}/card.json"
    found = match_card(left, right, **changes)
    write_card(path, MATCHES, found, np.zeros((1, 1, 3), np.uint8))
    return path


@pytest.fixture
def cards(tmp_path):
    return [
        card(tmp_path, "clip/layer3/a", "mae/layer3/a", share=0.4),
        card(tmp_path, "clip/layer3/a", "clip/layer3/b", share=0.8, patches=False),
    ]


def test_rows_are_what_the_cards_say(cards):
    table = matches_table(cards, {"clip": "CLIP", "mae": "MAE"})
    first, second = table.rows
    assert (first["left_backbone"], first["right_backbone"]) == ("clip", "mae")
    assert (second["left_sae"], second["right_sae"]) == ("a", "b")
    assert (first["items"], first["patch_items"], second["patch_items"]) == (40, 7840, None)
    assert (first["left_share"], first["right_share"]) == (0.2, 0.4)
    assert (first["left_live"], first["right_live"], first["above"]) == (20, 10, 4)
    assert (first["control"], first["median"], first["apart"]) == (0.02, 0.75, None)
    assert second["apart"].startswith("the grids of patches differ")
    keys = {column.key for column in table.columns}
    assert all(set(row) == keys for row in table.rows)


def test_the_figure_has_a_line_per_pair_and_says_what_is_not_compared(cards, tmp_path):
    labels = {"clip": "CLIP", "mae": "MAE"}
    path = tmp_path / "matches_table.json"
    write(matches_table(cards, labels), {"json": path})
    settings = {"labels": labels, "backbones": list(labels)}
    figure = PRODUCTS.module("matches_figure", "make").make({"matches_table": path}, settings)
    images, patches = figure.axes
    assert [tick.get_text() for tick in images.get_yticklabels()] == ["CLIP – MAE", "CLIP: a – b"]
    assert "grids differ" in [text.get_text() for text in patches.texts]
    drawn = {tuple(line.get_xdata()) for line in images.get_lines()}
    assert (20, 40) in {tuple(np.round(x)) for x in drawn if len(x) == 2}


def test_a_card_that_lacks_something_is_refused(tmp_path):
    path = tmp_path / "card.json"
    write_document(path, MATCHES, {"left": "a/layer1/s", "right": "b/layer1/s", "apart": None})
    with pytest.raises(UserError, match=r"card\.json is damaged or not a card of matches"):
        matches_table([path], {})
