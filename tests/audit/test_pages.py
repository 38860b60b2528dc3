"""Pages of features: what is planted in images is drawn on them, and numbers are the dense ones."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from cache_fixtures import write_cache
from feature_fixtures import (
    DEAD,
    GREEN,
    IMAGES,
    PREPARED,
    RED,
    SETTINGS,
    Made,
    bytes_of,
    colour_sae,
    encode,
)
from PIL import Image

from visae.activations.cache import ActivationCache
from visae.audit.cards import FEATURES, read_card
from visae.audit.lookup import look_up
from visae.audit.pictures import SIDE, as_seen
from visae.audit.queries import features_of_query, rows_of, strongest
from visae.base.errors import UserError
from visae.encoding.reductions import SaeReductions


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("pages"), "14 × 14, cropped", named=[GREEN])


@pytest.mark.parametrize("order", ["raster", "permuted", "forward"])
@pytest.mark.parametrize("prepared", PREPARED)
def test_codes_are_drawn_on_the_planted_patches(prepared, order, tmp_path):
    made = Made(tmp_path, prepared, order)
    examples, seen = made.data("examples")["features"], 0
    for feature in (RED, GREEN):
        for items in examples[str(feature)]["bands"].values():
            for number, _, codes in items:
                drawn = bytes_of(codes).reshape(made.grid) > 0
                np.testing.assert_array_equal(drawn, made.kinds[number] == feature)
                picture = np.asarray(Image.open(made.folder / f"images/{number}.webp")).astype(int)
                assert min(picture.shape[:2]) >= SIDE
                assert picture.shape[0] * made.grid[1] == picture.shape[1] * made.grid[0]
                half = picture.shape[0] // made.grid[0] // 2
                centres = picture[half :: 2 * half, half :: 2 * half]
                others = np.delete(centres, feature, axis=2).max(axis=2)
                np.testing.assert_array_equal(drawn, centres[..., feature] - others > 60)
                seen += 1
    assert seen >= 2 * IMAGES - 4


def test_pictures_are_what_the_backbone_saw(made):
    for name, path in made.paths.items():
        image = Image.open(path)
        small = made.transform.pixels(image).transpose(1, 2, 0)
        large = as_seen(image, made.transform)
        assert large.size == (3 * 56, 3 * 56)
        shrunk = np.asarray(large.resize((56, 56), Image.Resampling.BOX)).astype(int)
        inner = np.abs(shrunk - small).reshape(14, 4, 14, 4, 3)[:, 1:3, :, 1:3]
        assert inner.max() < 30, name


def test_codes_of_all_images_have_one_scale(made):
    examples = made.data("examples")["features"]
    for feature in (RED, GREEN):
        largest = made.findings.table.largest[feature]
        for items in examples[str(feature)]["bands"].values():
            for number, code, codes in items:
                dense = made.codes_of(f"image-{number:06d}")[:, feature]
                np.testing.assert_allclose(bytes_of(codes), 255 * dense / largest, atol=1)
                assert code == pytest.approx(float(dense.max()), rel=1e-3)


def test_bands_go_down_and_share_no_image(made):
    bands = made.data("examples")["features"][str(RED)]["bands"]
    assert list(bands) == ["top", "middle", "low"]
    assert [len(items) for items in bands.values()] == [3, 2, 2]
    numbers = [number for items in bands.values() for number, *_ in items]
    codes = [code for items in bands.values() for _, code, _ in items]
    assert len(set(numbers)) == len(numbers)
    assert codes == sorted(codes, reverse=True)


def test_sums_over_patches_are_the_direct_computation(made):
    asked = made.data("queries")
    assert [query["name"] for query in asked] == ["image-000002", "image-000006", "mine.png"]
    random = np.random.default_rng(0)
    for query in asked:
        if query["name"] in made.paths:
            dense_pf = made.codes_of(query["name"])
        else:
            dense_pf = made.sae.model.encode(torch.from_numpy(made.asked).float()).numpy()
        features, codes = bytes_of(query["features"], "<u4"), bytes_of(query["codes"], "<f4")
        assert len(query["ends"]) == len(dense_pf) + 1
        for patches in ([0], [5, 17, 100], random.permutation(196)[:60]):
            sums = np.zeros(4, np.float64)
            for patch in patches:
                part = slice(query["ends"][patch], query["ends"][patch + 1])
                np.add.at(sums, features[part], codes[part])
            np.testing.assert_allclose(sums, dense_pf[patches].sum(axis=0), rtol=1e-6, atol=1e-6)


def test_codes_of_asked_pictures_lie_on_their_patches(tmp_path):
    """Also where the backbone orders patches its own way."""
    for order in ("raster", "permuted", "forward"):
        (tmp_path / order).mkdir()
        made = Made(tmp_path / order, "8 × 8, as it is", order)
        for query, kinds in zip(
            made.findings.queries, [made.kinds[2], made.kinds[6], made.asked_kinds], strict=True
        ):
            for feature in (RED, GREEN):
                fires = query.codes[:, [feature]].toarray().reshape(made.grid) > 0
                np.testing.assert_array_equal(fires, kinds == feature)


def test_table_is_what_the_images_say(made):
    rows = list(csv.DictReader(io.StringIO((made.folder / "features.csv").read_text("utf-8"))))
    assert [int(row["feature"]) for row in rows] == [RED, GREEN]  # no blue, and one is dead
    columns = made.data("table")["columns"]
    for place, (feature, row) in enumerate(zip((RED, GREEN), rows, strict=True)):
        on = np.stack(made.kinds) == feature
        assert float(row["frequency"]) == pytest.approx(on.mean(), rel=1e-5)
        assert int(row["images"]) == columns["images"][place] == on.any(axis=(1, 2)).sum()
        assert columns["frequency"][place] == pytest.approx(on.mean(), rel=1e-3)
        counts = np.bincount(made.labels[on.any(axis=(1, 2))], minlength=3)
        assert row["class"] == ["a", "b", "c & d"][counts.argmax()]
        assert float(row["purity"]) == pytest.approx(counts.max() / counts.sum())
        assert sum(map(int, row["histogram"].split())) == int(row["images"])
    assert rows[0]["M1"] == "0.5"
    assert rows[1]["M1"] == ""
    assert columns["M1"] == [0.5, None]


def test_named_features_are_shown_with_reasons(made):
    examples = made.data("examples")["features"]
    assert "named" in examples[str(GREEN)]["why"]
    assert "high M1" in examples[str(RED)]["why"]
    assert "asked for by mine.png" in examples[str(RED)]["why"]
    assert str(DEAD) not in examples


@pytest.mark.parametrize(
    ("feature", "sentence"), [(DEAD, "which is dead"), (4, "numbered 0 to 3"), (10**9, "0 to 3")]
)
def test_features_that_cannot_be_shown_are_refused(feature, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence) as refused:
        Made(tmp_path, "8 × 8, as it is", named=[feature])
    assert f"feature {feature} of toy/layer3/s" in str(refused.value)


def test_unlabelled_images_have_no_class(tmp_path):
    made = Made(tmp_path, "8 × 8, as it is", labels=[-1] * IMAGES, values={})
    columns = made.data("table")["columns"]
    assert columns["label"] == columns["purity"] == [None, None]
    assert "the images have no classes" in (made.folder / "index.html").read_text("utf-8")


def test_only_chunks_with_chosen_images_are_read(made, tmp_path, monkeypatch):
    """A cache of many chunks, of which two features need a few."""
    read, whole = [], ActivationCache.read_chunk
    monkeypatch.setattr(
        ActivationCache,
        "read_chunk",
        lambda cache, number, out=None: read.append(int(number)) or whole(cache, number, out),
    )
    activations = np.zeros((400, 4, 3), np.float16)
    activations[[3, 250], 1] = [1, 0, 0]
    path = write_cache(
        tmp_path, activations, grid=(2, 2), statistics=False,
        preprocessing=made.transform.record(),
    )  # fmt: skip
    with ActivationCache(path) as cache:
        encode(cache, made.sae, tmp_path / "s.h5")
        read.clear()
        with SaeReductions(tmp_path / "s.h5") as reductions:
            found = look_up(
                made.sae, cache, reductions, {}, {}, [], SETTINGS | {"queries": 0}, [], 0
            )
    assert [item.image for item in found.examples[RED].bands["top"]] == [3, 250]
    assert sorted(read) == [0, 62]


def test_the_card_shows_the_feature_of_the_largest_m1(made):
    card, picture = read_card(made.folder / "card.json", FEATURES)
    assert card == {
        "features": 4, "live": 2, "examples": 2, "images": IMAGES, "feature": RED, "queries": 3,
    }  # fmt: skip
    with Image.open(io.BytesIO(picture)) as image:
        assert image.size == (3 * 168, 168)


def test_pages_name_the_sae_and_escape_what_they_say(made):
    for page in ("index.html", "patches.html"):
        text = (made.folder / page).read_text("utf-8")
        assert "Toy &lt;b&gt;" in text
        assert "Toy <b>" not in text
        assert "http" not in text.replace("http-equiv", "")


def test_files_do_not_depend_on_the_run(made, tmp_path):
    again = Made(tmp_path, "14 × 14, cropped", named=[GREEN])
    files = sorted(path.relative_to(made.folder) for path in made.folder.rglob("*.*"))
    assert len(files) > IMAGES
    for file in files:
        assert (made.folder / file).read_bytes() == (again.folder / file).read_bytes(), file


def test_patches_outside_the_grid_are_refused():
    assert rows_of([(0, 0), (1, 2), (1, 2)], (2, 3)) == [0, 5]
    for patch in ((2, 0), (0, 3), (-1, 0)):
        with pytest.raises(UserError, match=r"outside the 2 × 3 patches.*rows are 0 to 1"):
            rows_of([patch], (2, 3))


def test_an_asked_picture_brings_what_is_strongest_on_each_of_its_patches():
    import scipy.sparse

    random = np.random.default_rng(1)
    codes = random.gamma(1, size=(30, 200)) * (random.random((30, 200)) < 0.1)
    found = features_of_query(scipy.sparse.csr_array(codes), 60)
    assert len(found) == len(set(found)) <= 60
    assert set(codes.argmax(axis=1)) <= set(found)
    assert int(codes.sum(axis=0).argmax()) in found
    assert strongest(np.array([0.0, -3, 2, 0]), 3).tolist() == [1, 2]


@pytest.mark.parametrize("rule", ["topk", "abs_topk"])
def test_features_that_compete_are_drawn_with_the_codes_that_win(rule, tmp_path):
    """Of each patch one feature has a code; of abs_topk it may be negative and counts as much."""
    model = replace(colour_sae(), activation=rule, k=1)
    model.encoder_weight[RED] *= 3
    model.encoder_bias[DEAD] = -0.9
    made, signs = Made(tmp_path, "8 × 8, as it is", model=model), set()
    for feature, shown in made.data("examples")["features"].items():
        for number, code, codes in shown["bands"]["top"]:
            own = made.codes_of(f"image-{number:06d}")[:, int(feature)]
            signs |= set(np.sign(own))
            np.testing.assert_array_equal(bytes_of(codes) > 0, own != 0)
            assert code == pytest.approx(np.abs(own).max(), rel=1e-3)
    assert signs >= {1}
    assert (-1 in signs) == (rule == "abs_topk")
