"""The demo's data sets: read by the real layouts, deterministic, parts without shared pixels."""

import collections
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn import datasets

from visae.base.errors import UserError
from visae.images.copies import check_disjoint
from visae.images.decoding import check_masks, load_image, load_mask
from visae.images.demo_data import (
    DATASETS,
    DemoSizes,
    mosaics,
    organisms,
    photographs,
    textures,
    write_demo_data,
)
from visae.images.demo_data.crops import (
    Region,
    random_crop,
    split_region,
    train_and_held_out,
    whole,
)
from visae.images.layouts import index_images

SIZES = DemoSizes(
    image_size=16,
    photographs_train=2,
    photographs_val=1,
    digits_train=3,
    digits_test=2,
    textures_part=2,
    organisms_train=2,
    organisms_val=1,
    mosaics_training=12,
    mosaics_validation=6,
    faces_train=3,
    faces_test=2,
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo_data(tmp_path_factory.mktemp("demo"), 42, SIZES)


def index(demo, name, split):
    return index_images(DATASETS[name][0], demo[name], split)


@pytest.mark.parametrize(
    "name, splits, per_class, classes",
    [
        ("photographs", ("train", "val"), (2, 1), 54),
        ("digits", ("train", "test"), (3, 2), 10),
        ("textures", ("train1", "val1", "test1"), (2, 2, 2), 9),
        ("textures", ("trainval3", "test3"), (4, 2), 9),
        ("organisms", ("train_mini", "val"), (2, 1), 27),
        ("faces", ("train", "test"), (3, 2), 2),
    ],
)
def test_layouts_read_every_data_set(demo, name, splits, per_class, classes):
    indexes = {split: index(demo, name, split) for split in splits}
    check_disjoint(indexes)
    for split, count in zip(splits, per_class, strict=True):
        assert len(indexes[split].classes) == classes
        labels = collections.Counter(record.label for record in indexes[split].images)
        assert labels == dict.fromkeys(range(classes), count)
    assert len({i.classes for i in indexes.values()}) == 1
    for record in indexes[splits[0]].images[::7]:
        assert load_image(demo[name] / record.path).size == (16, 16)


@pytest.mark.parametrize("name, split", [("photographs", "train"), ("organisms", "val")])
def test_every_class_has_at_least_two_siblings(demo, name, split):
    parents = collections.Counter(record.parent for record in index(demo, name, split).classes)
    assert "" not in parents
    assert min(parents.values()) >= 3


def test_mosaics_show_the_classes_of_their_masks(demo):
    kinds = collections.Counter()
    for split in ("training", "validation"):
        mosaics = index(demo, "mosaics", split)
        check_masks(mosaics, demo["mosaics"])
        for record in mosaics.images:
            mask = load_mask(demo["mosaics"] / record.mask, len(mosaics.classes))
            kinds.update(mask.ravel().tolist())
    assert set(kinds) == set(range(7))
    info = (demo["mosaics"] / "objectInfo150.txt").read_text().splitlines()
    ratios = [float(line.split("\t")[1]) for line in info[1:]]
    assert ratios == [round(kinds[k] / kinds.total(), 4) for k in range(1, 7)]


def test_equal_seeds_give_equal_files_and_other_seeds_do_not(demo, tmp_path):
    def content(folders):
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for folder in folders.values()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    again = content(write_demo_data(tmp_path, 42, SIZES))
    assert again == content(demo)
    other = content(write_demo_data(tmp_path, 43, SIZES))
    pictures = [path for path in again if path.endswith(".JPEG")]
    assert len(pictures) > 150
    assert all(other[path] != again[path] for path in pictures)
    assert {path.name for path in tmp_path.iterdir()} == set(DATASETS)


def test_foreign_files_are_not_replaced(tmp_path):
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "thesis.txt").touch()
    with pytest.raises(UserError, match="digits holds files"):
        write_demo_data(tmp_path, 0, SIZES)
    assert (tmp_path / "digits" / "thesis.txt").exists()


@pytest.mark.parametrize(
    "name, message",
    [
        ("digits", "178 scans of the digit 0 and 302"),
        ("faces", "100 patches of each class and 302"),
    ],
)
def test_more_images_than_there_are(name, message, tmp_path):
    with pytest.raises(UserError, match=message):
        write_demo_data(tmp_path, 0, DemoSizes(**{**vars(SIZES), f"{name}_train": 300}))
    assert not any(path.name.startswith((".", name)) for path in tmp_path.iterdir())


def shades(folder, paths):
    """Mean brightness of each image."""
    return np.array([np.asarray(load_image(folder / path)).mean() for path in paths])


def painted(size, regions_and_shades):
    canvas = np.zeros((size, size, 3), dtype=np.uint8)
    for r, shade in regions_and_shades:
        canvas[r.top : r.bottom, r.left : r.right] = shade
    return Image.fromarray(canvas)


@pytest.mark.parametrize(
    "module, grid_of, split",
    [
        (photographs, photographs.GRIDS.get, "train"),
        (organisms, lambda file: (3, 3), "train_mini"),
    ],
)
def test_validation_crops_come_from_the_held_out_thirds(
    module, grid_of, split, tmp_path, monkeypatch
):
    def held_out_in_white(file):
        regions = split_region(Region(0, 0, 240, 240), *grid_of(file))
        return painted(240, [(r, 255) for region in regions for r in train_and_held_out(region)[1]])

    monkeypatch.setattr(module, "photograph", held_out_in_white)
    module.write(tmp_path, np.random.default_rng(0), SIZES)
    assert shades(tmp_path, (tmp_path / split).glob("*/*")).max() == 0
    assert shades(tmp_path, (tmp_path / "val").rglob("*.*")).min() == 255


def test_the_parts_of_each_texture_partition_are_different_strips(tmp_path, monkeypatch):
    strips = zip(split_region(Region(0, 0, 512, 512), 1, 3), (40, 120, 200), strict=True)
    picture = painted(512, strips)
    monkeypatch.setattr(textures, "photograph", lambda file: picture)
    textures.write(tmp_path, np.random.default_rng(0), SIZES)
    seen = {
        f"{part}{partition}": set(
            shades(
                tmp_path,
                (r.path for r in index_images("dtd", tmp_path, f"{part}{partition}").images),
            )
            .round()
            .tolist()
        )
        for part in ("train", "val", "test")
        for partition in (1, 2, 3)
    }
    assert [seen[f"{part}1"] for part in ("train", "val", "test")] == [{40}, {120}, {200}]
    assert [seen[f"train{partition}"] for partition in (1, 2, 3)] == [{40}, {120}, {200}]
    assert [seen[f"test{partition}"] for partition in (1, 2, 3)] == [{200}, {40}, {120}]


@pytest.mark.parametrize("split, part", [("training", 0), ("validation", 100)])
def test_a_mosaic_shows_what_its_mask_says(split, part, tmp_path, monkeypatch):
    """Each photograph has a red value of its own, and green tells its validation part."""
    files = list(mosaics.FILES)

    def coded(file):
        colour = 20 + 30 * files.index(file)
        left, right = Region(0, 0, 200, 300), Region(200, 0, 300, 300)
        return painted(300, [(left, (colour, 0, 0)), (right, (colour, 100, 0))])

    monkeypatch.setattr(mosaics, "photograph", coded)
    sizes = DemoSizes(image_size=64, mosaics_training=30, mosaics_validation=30)
    mosaics.write(tmp_path, np.random.default_rng(0), sizes)
    drawn = index_images("ade20k", tmp_path, split)
    kinds = set()
    for record in drawn.images:
        image = np.asarray(load_image(tmp_path / record.path)).astype(int)
        mask = load_mask(tmp_path / record.mask, len(drawn.classes))
        for y, x in np.ndindex(4, 4):
            block = np.s_[16 * y : 16 * y + 16, 16 * x : 16 * x + 16]
            kind = mask[block].flat[0]
            if (mask[block] == kind).all():
                kinds.add(kind)
                # JPEG mixes colours inside blocks of 16 pixels, and two pixels across them.
                inside = image[block][2:-2, 2:-2]
                assert np.abs(inside - (20 + 30 * kind, part, 0)).max() <= 12
    assert kinds == set(range(7))


def test_digits_show_the_class_they_are_filed_under(demo):
    digits = datasets.load_digits()
    for split in ("train", "test"):
        for record in index(demo, "digits", split).images:
            row = int(record.image_id.rpartition("_")[2])
            assert digits.target[row] == record.label
            image = load_image(demo["digits"] / record.path).convert("L").resize((8, 8))
            scan = digits.images[row] * 255 / 16
            assert np.corrcoef(np.asarray(image).ravel(), scan.ravel())[0, 1] > 0.9


@settings(deadline=None, max_examples=40)
@given(
    width=st.integers(12, 60),
    height=st.integers(12, 60),
    rows=st.integers(1, 3),
    columns=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_crops_of_different_classes_and_parts_share_no_pixel(width, height, rows, columns, seed):
    """Every pixel is painted with its (class, part); no crop shows a second colour."""
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    parts = []
    regions = split_region(whole(Image.fromarray(canvas)), rows, columns)
    for region in regions:
        for held_out, part in enumerate(train_and_held_out(region)):
            colour = (len(parts) + 1, held_out, 0)
            parts.append((part, colour))
            for r in part:
                assert not canvas[r.top : r.bottom, r.left : r.right].any()
                canvas[r.top : r.bottom, r.left : r.right] = colour
    assert canvas.any(axis=2).all()
    photo, rng = Image.fromarray(canvas), np.random.default_rng(seed)
    for part, colour in parts:
        crop = np.asarray(random_crop(photo, part, rng, 8))
        assert crop.shape == (8, 8, 3)
        assert (crop == colour).all()


def test_crops_reach_every_corner_of_a_region():
    ramp = np.arange(400, dtype=np.uint16).reshape(20, 20)
    photo = Image.fromarray(np.stack([ramp // 20 * 12, ramp % 20 * 12, ramp * 0], 2).astype("u1"))
    region, rng = Region(5, 0, 20, 10), np.random.default_rng(0)
    crops = np.stack([random_crop(photo, [region], rng, 4, (4, 4)) for _ in range(500)]) // 12
    assert (crops[..., 0].min(), crops[..., 0].max()) == (0, 9)
    assert (crops[..., 1].min(), crops[..., 1].max()) == (5, 19)
