"""The index: its checks, its files and its fingerprint."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visae.base.errors import UserError
from visae.base.seals import beside, write_beside
from visae.images import rows
from visae.images.copies import check_disjoint
from visae.images.index import (
    IMAGES_FORMAT,
    ClassRecord,
    ImageIndex,
    ImageRecord,
    build_index,
    read_index,
    shuffled,
    write_classes,
    write_images,
)
from visae.images.index import parsed as index_parsed
from visae.images.rows import open_index

CLASSES = (ClassRecord(0, "cat", "pet"), ClassRecord(1, "dog, big", "pet"), ClassRecord(2, "elk"))
IMAGES = (
    ImageRecord("dog/2", "d/2.jpg", 1, "dog, big"),
    ImageRecord("cat/10", "c/10.jpg", 0, "cat"),
    ImageRecord("cat/1", "c/1.jpg", 0, "cat"),
)


def written(folder, index):
    write_images(folder / "train.csv", index)
    write_classes(folder / "classes.csv", index)
    return folder / "train.csv", folder / "classes.csv"


def test_files_are_as_specified(tmp_path):
    images, classes = written(tmp_path, build_index(IMAGES, CLASSES, "here"))
    assert images.read_text() == (
        "image_id,path,label,class_name\n"
        "cat/1,c/1.jpg,0,cat\ncat/10,c/10.jpg,0,cat\n"
        'dog/2,d/2.jpg,1,"dog, big"\n'
    )
    assert classes.read_text() == ('label,class_name,parent\n0,cat,pet\n1,"dog, big",pet\n2,elk,\n')


def test_masks_have_a_column(tmp_path):
    index = build_index([ImageRecord("a", "a.jpg", -1, "", "a.png")], CLASSES, "here")
    paths = written(tmp_path, index)
    assert paths[0].read_text() == "image_id,path,label,class_name,mask\na,a.jpg,-1,,a.png\n"
    assert read_index(*paths) == index


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_reading_gives_back_what_was_written(data, tmp_path_factory):
    names = data.draw(st.lists(TEXT, min_size=1, max_size=4, unique=True))
    classes = [ClassRecord(i, name, data.draw(TEXT)) for i, name in enumerate(names)]
    images = []
    for image_id in data.draw(st.lists(TEXT, min_size=1, max_size=6, unique=True)):
        label = data.draw(st.integers(0, len(names) - 1))
        images.append(ImageRecord(image_id, data.draw(TEXT), label, names[label], data.draw(TEXT)))
    index = build_index(images, classes, "here")
    assert [r.image_id for r in index.images] == sorted(r.image_id for r in images)
    assert read_index(*written(tmp_path_factory.mktemp("index"), index)) == index


@pytest.mark.parametrize(
    "images, classes, words",
    [
        ((), CLASSES, "No images"),
        ((*IMAGES, IMAGES[0]._replace(path="e/2.jpg")), CLASSES, "'dog/2'.*d/2.jpg and e/2.jpg"),
        ((*IMAGES, ImageRecord("x", "x", 3, "elk")), CLASSES, "'x'.* label 3 .*3 classes"),
        ((*IMAGES, ImageRecord("x", "x", -2, "elk")), CLASSES, "'x'.* label -2"),
        ((*IMAGES, ImageRecord("x", "x", 1, "cat")), CLASSES, "'x'.* label 1 .'cat'"),
        ((IMAGES[0]._replace(path="d/2\r.jpg"),), CLASSES, r"'d/2\\r.jpg' .* line end .*rename"),
        (IMAGES, (CLASSES[0], CLASSES[1], ClassRecord(3, "elk")), "number 2 is missing"),
        (IMAGES, (*CLASSES, ClassRecord(3, "cat")), "'cat' is listed twice"),
    ],
)
def test_records_that_contradict_each_other_are_refused(images, classes, words):
    with pytest.raises(UserError, match=words):
        build_index(images, classes, "here")


def test_files_that_were_tampered_with_are_refused(tmp_path):
    images, classes = written(tmp_path, build_index(IMAGES, CLASSES, "here"))
    text = images.read_text()
    for old, new, words in (
        ("cat/10,c/10.jpg,0", "cat/10,c/10.jpg,zero", "line 3.*zero"),
        ("cat/10,c/10.jpg,0", "cat/10,c/10.jpg,2", "'cat/10'.* label 2"),
        ("cat/10,c/10.jpg,0,cat", "cat/10", "line 3"),
        ("image_id,path", "id,path", "id,path.*image_id,path"),
    ):
        images.write_text(text.replace(old, new))
        with pytest.raises(UserError, match=r"train\.csv has changed"):
            read_index(images, classes)
        write_beside(images, IMAGES_FORMAT, text.replace(old, new))
        with pytest.raises(UserError, match=words):
            read_index(images, classes)
    beside(images).unlink()
    with pytest.raises(UserError, match=r"train\.csv has no seal beside it"):
        read_index(images, classes)


def test_the_fingerprint_sees_every_field_and_not_the_order_given():
    index = build_index(IMAGES, CLASSES, "here")
    assert build_index(IMAGES[::-1], CLASSES, "there").fingerprint() == index.fingerprint()
    changed = [
        ImageIndex((*index.images[:-1], index.images[-1]._replace(**{field: value})), CLASSES)
        for field, value in (
            ("image_id", "dog/3"),
            ("path", "d/3.jpg"),
            ("label", 0),
            ("class_name", "cat"),
            ("mask", "m"),
        )
    ]
    changed.append(ImageIndex(index.images, (*CLASSES[:-1], ClassRecord(2, "elk", "wild"))))
    changed.append(ImageIndex(index.images[1:], CLASSES))
    assert len({i.fingerprint() for i in (index, *changed)}) == len(changed) + 1


def test_overlapping_splits_are_named():
    train = build_index(IMAGES, CLASSES, "train")
    test = build_index([ImageRecord("cat/3", "c/3.jpg", 0, "cat")], CLASSES, "test")
    check_disjoint({"train": train, "test": test})
    both = build_index([*test.images, IMAGES[2]], CLASSES, "val")
    with pytest.raises(UserError, match=r"'train' and 'val' overlap.*'cat/1'"):
        check_disjoint({"train": train, "val": both})


def test_order_of_a_training_cache_is_random_and_repeatable():
    records = [ImageRecord(f"{i:04d}", f"{i}.jpg", i // 100, str(i // 100)) for i in range(1000)]
    index = build_index(records, [ClassRecord(c, str(c)) for c in range(10)], "here")
    order = shuffled(index, 42)
    assert sorted(order.images) == list(index.images)
    assert order == shuffled(index, 42)
    assert order.images != shuffled(index, 43).images
    assert order.fingerprint() != index.fingerprint()  # a cache tells which order it has
    # A window of 64 images has seen one class in sorted order; here nearly all.
    assert len({record.label for record in order.images[:64]}) >= 9


# --- rows that are parsed when they are used ----------------------------------------------

ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r"), max_size=8)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_an_opened_index_is_the_one_that_is_read_whole(data, tmp_path_factory):
    """Commas, quotes and line ends in names included; in the order of a training cache as well."""
    names = data.draw(st.lists(ANY_TEXT, min_size=1, max_size=3, unique=True))
    images = [
        ImageRecord(image_id, data.draw(ANY_TEXT), label, names[label], mask)
        for image_id in data.draw(st.lists(ANY_TEXT, min_size=1, max_size=6, unique=True))
        for label in [data.draw(st.integers(0, len(names) - 1))]
        for mask in [data.draw(st.sampled_from(["", "m.png"]))]
    ]
    index = build_index(images, [ClassRecord(i, name) for i, name in enumerate(names)], "here")
    paths = written(tmp_path_factory.mktemp("index"), index)
    assert read_index(*paths) == index
    for expected, found in (
        (index, open_index(*paths)),
        (shuffled(index, 7), open_index(*paths, order_seed=7)),
    ):
        assert found.fingerprint() == expected.fingerprint()
        assert found.classes == expected.classes
        assert len(found.images) == len(expected.images)
        assert tuple(found.images) == expected.images
        assert found.images[-1] == expected.images[-1]
        assert found.images[1:3] == expected.images[1:3]
        assert found.images[:0] == ()


def test_rows_that_are_not_used_are_not_parsed(tmp_path, monkeypatch):
    records = [ImageRecord(f"{i:05d}", f"{i}.jpg", i % 3, CLASSES[i % 3][1]) for i in range(5000)]
    index = build_index(records, CLASSES, "here")
    paths = written(tmp_path, index)
    used = []
    monkeypatch.setattr(rows, "parsed", lambda *row: used.append(row) or index_parsed(*row))
    plain = build_index([r for r in records if "," not in r.class_name], CLASSES, "here")
    for expected, quoted in ((plain, 0), (index, 5000)):
        paths = written(tmp_path, expected)
        opened = open_index(*paths)
        assert opened.images[100:103] == expected.images[100:103]
        assert len(used) == 3
        assert opened.fingerprint() == expected.fingerprint()
        assert len(used) == 3 + quoted
        used.clear()


def test_rows_are_checked_when_they_are_used(tmp_path):
    images, classes = written(tmp_path, build_index(IMAGES, CLASSES, "here"))
    text = images.read_text()
    write_beside(images, IMAGES_FORMAT, text.replace("cat/10,c/10.jpg,0", "cat/10,c/10.jpg,2"))
    opened = open_index(images, classes)
    assert opened.images[0].image_id == "cat/1"
    with pytest.raises(UserError, match=r"'cat/10'.* label 2"):
        opened.images[1:]
    write_beside(images, IMAGES_FORMAT, text.replace("cat/10,c/10.jpg,0", "cat/10,c/10.jpg,zero"))
    with pytest.raises(UserError, match=r"line 3.*zero"):
        open_index(images, classes).images[1:]
    write_beside(images, IMAGES_FORMAT, text.replace("image_id,path", "id,path"))
    with pytest.raises(UserError, match=r"id,path.*image_id,path"):
        open_index(images, classes)
