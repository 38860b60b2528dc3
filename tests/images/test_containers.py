"""Pictures inside of containers, as real libraries wrote them: read in place, and equal to files.

`written/` holds the same eight pictures, five of them `train`, by datasets and webdataset.
"""

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from visae.base.errors import UserError
from visae.images import contents, inventory
from visae.images.containers import member_path, row_path, tables
from visae.images.copies import check_copies
from visae.images.decoding import load_image
from visae.images.index import UNLABELLED
from visae.images.layouts import LAYOUTS, index_images

WRITTEN = Path(__file__).parent / "written"
NAMES = ["cat", "dog", "elk"]
COUNTS = {"train": range(5), "validation": range(5, 8)}
FORMS = {
    "saved": ("huggingface", "saved"),
    "hub": ("huggingface", "hub"),
    "cache": ("huggingface", "cache"),
    "webdataset": ("webdataset", "webdataset"),
}
# Where each form says that image 4, the last of `train`, came from.
LAST = {
    "saved": ("train/00000004", "train/data-00001-of-00002.arrow#1#image"),
    "hub": ("data/train-00001-of-00002/00000001", "data/train-00001-of-00002.parquet#1#image"),
    "cache": (
        "hub-train/00000004",
        "hub/default/0.0.0/479edefa6b046434/hub-train.arrow#4#image",
    ),
    "webdataset": ("few-train-000001/0004", "few-train-000001.tar#7680#77"),
}


def picture(number, kind="PNG"):
    content = io.BytesIO()
    colour = (number, 2 * number, 255 - number)
    Image.fromarray(np.full((3, 4, 3), colour, np.uint8)).save(content, kind)
    return content.getvalue()


def pixels(root, index):
    return [tuple(np.asarray(load_image(root / r.path))[0, 0]) for r in index.images]


def refuses(layout, root, split, *words, **options):
    """Indexing raises one sentence that holds all `words`."""
    with pytest.raises(UserError) as caught:
        index_images(layout, root, split, options)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    for word in words:
        assert str(word) in message


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("split", COUNTS)
def test_what_libraries_wrote_is_read_with_its_labels(form, split):
    layout, folder = FORMS[form]
    root = WRITTEN / folder
    index = index_images(layout, root, split)
    assert pixels(root, index) == [(n, 2 * n, 255 - n) for n in COUNTS[split]]
    assert [r.label for r in index.images] == [n % 3 for n in COUNTS[split]]
    # A tar knows numbers only.
    names = ["0", "1", "2"] if form == "webdataset" else NAMES
    assert [r.class_name for r in index.classes] == names
    if split == "train":
        assert index.images[-1][:2] == LAST[form]
    for record in index.images:
        path = root / record.path
        with contents.opened(path) as stream:
            content = stream.read()
        assert contents.size_of(path) == len(content)
        assert Path(contents.file_of(path)).is_file()


def test_a_single_saved_split_is_read_under_its_name(tmp_path):
    shutil.copytree(WRITTEN / "saved/train", tmp_path / "alone")
    assert len(index_images("huggingface", tmp_path / "alone", "train").images) == 5
    state = tmp_path / "alone/state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"_split": "train"}))
    refuses("huggingface", tmp_path / "alone", "test", "the saved split 'train'")


def test_copies_are_found_inside_of_containers_and_across_rows(tmp_path):
    shutil.copytree(WRITTEN / "hub", tmp_path / "hub")
    data = tmp_path / "hub/data"
    (data / "validation-00000-of-00002.parquet").write_bytes(
        (data / "train-00001-of-00002.parquet").read_bytes()
    )
    splits = {s: index_images("huggingface", tmp_path / "hub", s) for s in COUNTS}
    with pytest.raises(UserError, match=r"share 2 picture.*train-00001-of-00002.parquet#0#image ="):
        check_copies(tmp_path / "hub", splits)


def test_a_change_of_a_container_is_told(tmp_path):
    shutil.copytree(WRITTEN / "webdataset", tmp_path / "data")
    lists = LAYOUTS["webdataset"].lists
    records = index_images("webdataset", tmp_path / "data", "train").images
    entries = inventory.take(tmp_path / "data", records, lists)
    assert inventory.left_out(entries, records) == [
        "Left out: 1 file(s) named *.tar, the first is few-validation-000000.tar."
    ]
    assert inventory.changes(tmp_path / "data", entries, lists) is None
    (tmp_path / "data/few-train-000001.tar").write_bytes(b"")
    told = inventory.described(inventory.changes(tmp_path / "data", entries, lists))
    assert told == "1 changed (few-train-000001.tar)"


def records(layout, root, function="read", **options):
    module = LAYOUTS.module(layout, "read")
    return getattr(module, function)(root, "train", **options)


@pytest.mark.parametrize("form", FORMS)
def test_pictures_are_listed_without_their_labels(form):
    layout, folder = FORMS[form]
    bare, classes = records(layout, WRITTEN / folder, "read_images")
    labelled, _ = records(layout, WRITTEN / folder)
    assert bare == [r._replace(label=UNLABELLED, class_name="") for r in labelled]
    assert classes == []


# --- rows ---------------------------------------------------------------------------------

IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def write_parquet(path, rows, schema=None, features=None, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.Table.from_pylist(rows, schema=schema)
    if features:
        said = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": said})
    pyarrow.parquet.write_table(table, path, **how)


def rows(numbers, label=lambda n: n % 2):
    return [{"image": {"bytes": picture(n), "path": None}, "label": label(n)} for n in numbers]


def features(names=("cat", "dog"), **image):
    return {"image": {"_type": "Image"} | image, "label": {"_type": "ClassLabel", "names": names}}


def test_rows_of_many_row_groups_are_found_in_any_order(tmp_path, monkeypatch):
    """Compressed, three rows a group, and memory for one group only."""
    monkeypatch.setattr(tables, "KEPT", 1)
    write_parquet(
        tmp_path / "train.parquet", rows(range(20)), features=features(), row_group_size=3
    )
    index = index_images("huggingface", tmp_path, "train")
    order = np.random.default_rng(0).permutation(20)
    shuffled = index._replace(images=tuple(index.images[n] for n in order))
    assert pixels(tmp_path, shuffled) == [(n, 2 * n, 255 - n) for n in order]
    with pytest.raises(UserError, match="20 rows only"):
        load_image(tmp_path / row_path("train.parquet", 20, "image"))


def test_a_column_is_named_as_it_is_and_may_hold_bare_bytes(tmp_path):
    made = [{"image/encoded": picture(n), "image/class": f"kind {n % 2}"} for n in range(4)]
    write_parquet(tmp_path / "train.parquet", made)
    index = index_images("huggingface", tmp_path, "train", {"label": "image/class"})
    assert index.images[3].path == "train.parquet#3#image%2Fencoded"
    assert [r.class_name for r in index.images] == ["kind 0", "kind 1"] * 2
    assert pixels(tmp_path, index) == [(n, 2 * n, 255 - n) for n in range(4)]
    refuses("huggingface", tmp_path, "train", "0 columns of type ClassLabel", "image/class")
    refuses("huggingface", tmp_path, "train", "no column 'x'", "image/encoded", label="x")
    both = {"image": "image/class", "label": "image/class"}
    refuses("huggingface", tmp_path, "train", "no encoded images", **both)


def test_numbers_without_names_are_classes_in_their_order(tmp_path):
    write_parquet(tmp_path / "train.parquet", rows(range(4), label=lambda n: (10, 9, 2, 10)[n]))
    index = index_images("huggingface", tmp_path, "train")
    assert [r.class_name for r in index.classes] == ["2", "9", "10"]
    assert [r.class_name for r in index.images] == ["10", "9", "2", "10"]


def test_of_two_columns_of_labels_one_is_named(tmp_path):
    two = features() | {"coarse": {"_type": "ClassLabel", "names": ["x", "y", "z"]}}
    made = [row | {"coarse": 2 - n} for n, row in enumerate(rows(range(3)))]
    write_parquet(tmp_path / "train.parquet", made, features=two)
    refuses("huggingface", tmp_path, "train", "2 columns of type ClassLabel (label, coarse)")
    index = index_images("huggingface", tmp_path, "train", {"label": "coarse"})
    assert [r.class_name for r in index.images] == ["z", "y", "x"]


def test_rows_without_a_label_are_unlabelled(tmp_path):
    """As the test split of ImageNet, whose labels are -1; null too, or no column at all."""
    for label in (-1, None):
        made = [*rows([0]), {"image": {"bytes": picture(1), "path": None}, "label": label}]
        write_parquet(tmp_path / "train.parquet", made, features=features())
        images, classes = records("huggingface", tmp_path)
        assert [(r.label, r.class_name) for r in images] == [(0, "cat"), (UNLABELLED, "")]
        assert [r.class_name for r in classes] == ["cat", "dog"]
    write_parquet(tmp_path / "train.parquet", rows([0], label=lambda n: 2), features=features())
    refuses("huggingface", tmp_path, "train", "Row 0", "label 2", "none of its 2 classes")
    write_parquet(tmp_path / "train.parquet", [{"image": picture(0), "caption": "a cat"}])
    refuses("huggingface", tmp_path, "train", "0 columns of type ClassLabel", "image, caption")
    [image], _ = records("huggingface", tmp_path, "read_images")
    assert image == ("train/00000000", "train.parquet#0#image", UNLABELLED, "", "")


def test_files_whose_lists_of_classes_differ_are_matched_by_name(tmp_path):
    """`load_dataset` labels all of them by the first list."""
    for number, names in enumerate((["cat", "dog"], ["dog", "elk"])):
        file = tmp_path / f"train-{number:05d}-of-00002.parquet"
        write_parquet(file, rows(range(2)), features=features(names))
    index = index_images("huggingface", tmp_path, "train")
    assert [r.class_name for r in index.images] == ["cat", "dog", "dog", "elk"]


def test_a_declared_mode_is_that_of_the_pixels(tmp_path):
    colourful = {"bytes": picture(30), "path": None}
    for mode in ("L", "RGB", None):
        folder = tmp_path / str(mode)
        made = [{"image": colourful, "label": 0}]
        write_parquet(folder / "train.parquet", made, features=features(mode=mode))
        found = load_image(folder / index_images("huggingface", folder, "train").images[0].path)
        grey = Image.open(io.BytesIO(picture(30))).convert("L").getpixel((0, 0))
        assert found.getpixel((0, 0)) == ((grey,) * 3 if mode == "L" else (30, 60, 225))


def test_a_row_may_name_a_file_and_is_refused_where_that_is_not_there(tmp_path):
    (tmp_path / "seen.png").write_bytes(picture(7))
    made = [{"image": {"bytes": None, "path": path}, "label": 0} for path in ("seen.png", "gone")]
    schema = pyarrow.schema([("image", IMAGE), ("label", pyarrow.int64())])
    write_parquet(tmp_path / "train.parquet", made[:1], schema, features())
    index = index_images("huggingface", tmp_path, "train")
    assert pixels(tmp_path, index) == [(7, 14, 248)]
    write_parquet(tmp_path / "other/train.parquet", made, schema, features())
    refuses("huggingface", tmp_path / "other", "train", "2 row(s)", "row 0", "seen.png")
    empty = [{"image": None, "label": 0}, *rows([1])]
    write_parquet(tmp_path / "third/train.parquet", empty, schema, features())
    refuses("huggingface", tmp_path / "third", "train", "1 row(s)", "row 0", "empty")


def hub(tmp_path, **files):
    """A snapshot in the hub's cache: links into `blobs`; returns the repository's folder."""
    home = tmp_path / "datasets--me--few"
    snapshot = home / "snapshots" / "abc"
    (home / "blobs").mkdir(parents=True)
    for number, (name, content) in enumerate(files.items()):
        link = snapshot / name.replace("__", "/")
        link.parent.mkdir(parents=True, exist_ok=True)
        (home / "blobs" / str(number)).write_bytes(content)
        link.symlink_to(home / "blobs" / str(number))
    return home


def test_the_hubs_cache_is_read_by_its_folder(tmp_path):
    written = {
        "data__" + file.name + "": file.read_bytes() for file in (WRITTEN / "hub/data").iterdir()
    }
    home = hub(tmp_path, **written)
    index = index_images("huggingface", home, "train")
    assert index.images[0][:2] == (
        "data/train-00000-of-00002/00000000",
        "snapshots/abc/data/train-00000-of-00002.parquet#0#image",
    )
    (home / "snapshots/older").mkdir()
    refuses("huggingface", home, "train", "2 snapshots")
    (home / "refs").mkdir()
    (home / "refs/main").write_text("abc\n")
    assert index_images("huggingface", home, "train") == index
    for blob in (home / "blobs").iterdir():
        blob.unlink()
    refuses("huggingface", home, "train", "link to nothing")


def test_names_of_classes_come_from_the_readme_where_the_files_lack_them(tmp_path):
    made = [{"image": {"bytes": picture(n), "path": None}, "label": n} for n in range(3)]
    write_parquet(tmp_path / "data/train-00000-of-00001.parquet", made)
    (tmp_path / "README.md").write_text((WRITTEN / "hub/README.md").read_text())
    assert [r.class_name for r in index_images("huggingface", tmp_path, "train").images] == NAMES
    refuses("huggingface", tmp_path, "test", "no files of the split 'test'", "train, validation")
    (tmp_path / "README.md").write_text("---\na: [\n---\n")
    refuses("huggingface", tmp_path, "train", "README.md", "no YAML")


def test_configurations_are_named(tmp_path):
    for name, numbers in (("full", range(4)), ("small", range(2))):
        write_parquet(tmp_path / name / "train.parquet", rows(numbers), features=features())
    refuses("huggingface", tmp_path, "train", "2 folders", "full, small", "config")
    assert len(index_images("huggingface", tmp_path, "train", {"config": "small"}).images) == 2
    listed = "".join(
        f"- config_name: {name}\n  data_files: {name}/*.parquet\n" for name in ("full", "small")
    )
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{listed}---\n")
    refuses("huggingface", tmp_path, "train", "configurations full, small")
    assert len(index_images("huggingface", tmp_path, "train", {"config": "full"}).images) == 4
    refuses("huggingface", tmp_path, "train", "no configuration 'x'", config="x")


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda d: (d / "train-00001-of-00002.parquet").unlink(), ("1 file(s)", "number 1")),
        (
            lambda d: shutil.copy(
                d / "train-00000-of-00002.parquet", d / "train-00000-of-00001.parquet"
            ),
            ("two numbered sets", "older"),
        ),
        (
            lambda d: (d / "train-00001-of-00002.parquet").write_text(
                "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
            ),
            ("a whole Parquet file", "git lfs pull"),
        ),
        (
            lambda d: (d / "train-00001-of-00002.parquet").write_bytes(
                (d / "train-00001-of-00002.parquet").read_bytes()[:-30]
            ),
            ("train-00001-of-00002.parquet", "a whole Parquet file"),
        ),
        (
            lambda d: write_parquet(d / "train-00001-of-00002.parquet", [{"picture": b""}]),
            ("train-00001-of-00002.parquet", "no column 'image'"),
        ),
    ],
)
def test_damaged_snapshots_are_named(damage, words, tmp_path):
    shutil.copytree(WRITTEN / "hub", tmp_path / "hub")
    damage(tmp_path / "hub/data")
    refuses("huggingface", tmp_path / "hub", "train", *words)


def test_a_cache_that_lacks_a_file_or_holds_several_data_sets_is_named(tmp_path):
    shutil.copytree(WRITTEN / "cache/hub/default/0.0.0", tmp_path / "cache")
    [folder] = (tmp_path / "cache").iterdir()
    refuses("huggingface", tmp_path / "cache", "test", "'test'", "train, validation")
    whole = (folder / "hub-train.arrow").read_bytes()
    (folder / "cache-0123456789abcdef.arrow").write_bytes(whole)  # of a `map`
    assert len(index_images("huggingface", tmp_path / "cache", "train").images) == 5
    (folder / "hub-train.arrow").rename(folder / "hub-train-00001-of-00002.arrow")
    refuses("huggingface", tmp_path / "cache", "train", "1 file(s)", "number 0")
    (folder / "hub-train-00001-of-00002.arrow").rename(folder / "hub-train.arrow")
    shutil.copytree(folder, tmp_path / "cache/other")
    refuses("huggingface", tmp_path / "cache", "train", "2 prepared data sets")
    index = index_images("huggingface", tmp_path / "cache", "train", {"config": "other"})
    assert len(index.images) == 5
    (tmp_path / "cache/other/hub-train.arrow").write_bytes(whole[:-500])
    refuses("huggingface", tmp_path / "cache/other", "train", "hub-train.arrow", "a whole Arrow")


def test_a_changed_byte_in_an_arrow_file_ends_in_a_sentence(tmp_path):
    """pyarrow ends the process where a value is said to lie outside of its column."""
    shutil.copytree(WRITTEN / "saved", tmp_path / "saved")
    file = tmp_path / "saved/train/data-00001-of-00002.arrow"
    whole = file.read_bytes()
    offsets = np.array([0, 77, 154], "<i4").tobytes()
    at = whole.index(offsets) + 4
    file.write_bytes(whole[:at] + np.array([2**30], "<i4").tobytes() + whole[at + 4 :])
    refuses("huggingface", tmp_path / "saved", "train", file, "whole Arrow file")


def test_a_readme_whose_classes_have_no_numbers_is_named(tmp_path):
    made = [{"image": {"bytes": picture(0), "path": None}, "label": 0}]
    write_parquet(tmp_path / "data/train-00000-of-00001.parquet", made)
    readme = (WRITTEN / "hub/README.md").read_text().replace("'1': dog", "one: dog")
    (tmp_path / "README.md").write_text(readme)
    refuses("huggingface", tmp_path, "train", "features in", "README.md", "one")


# --- tars ---------------------------------------------------------------------------------


def write_tar(path, members, mode="w"):
    """members: (name, bytes) in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def sample(number, label=b"0", kind="cls", image="png"):
    return [(f"{number:04d}.{image}", picture(number)), (f"{number:04d}.{kind}", label)]


def labels(root, split="train", **options):
    return {
        r.image_id: r.class_name for r in index_images("webdataset", root, split, options).images
    }


def test_members_of_a_tar_in_any_order_and_in_folders(tmp_path):
    """As `tar cf train.tar .` writes a folder, pictures first; what is hidden is left out."""
    members = [
        ("./a/1.v2.png", picture(1)),
        ("./a/0.v2.png", picture(0)),
        ("./a/._0.v2.png", b"mac"),
        ("./__meta__.json", b"{}"),
        ("./a/0.v2.cls", b"7\n"),
        ("./a/1.v2.CLS", b" 10 "),
    ]
    write_tar(tmp_path / "train.tar", [m for m in members if "v2." in m[0] or "__" in m[0]])
    assert labels(tmp_path, image="v2.png", label="v2.cls") == {
        "train/a/0": "7",
        "train/a/1": "10",
    }
    index = index_images("webdataset", tmp_path, "train", {"label": "v2.cls"})
    assert [r.class_name for r in index.classes] == ["7", "10"]
    assert pixels(tmp_path, index) == [(0, 0, 255), (1, 2, 254)]


@pytest.mark.parametrize(
    "content, option, expected",
    [
        (b'{"label": 3}', None, "3"),
        (b'{"label": "n01440764"}', None, "n01440764"),
        (b'{"truth": {"kinds": ["cat"]}, "label": 1}', "json.truth.kinds.0", None),
        (b'{"truth": {"kind": "cat"}, "label": 1}', "json.truth.kind", "cat"),
        (b'{"label": [1]}', None, None),
        (b'{"label": true}', None, None),
        (b'{"kind": 1}', None, None),
        (b"{", None, None),
    ],
)
def test_labels_in_json(content, option, expected, tmp_path):
    write_tar(tmp_path / "train-0.tar", sample(0, content, "json"))
    options = {"label": option} if option else {}
    if expected is None:
        refuses("webdataset", tmp_path, "train", "0000", "train-0.tar", "label", **options)
    else:
        assert labels(tmp_path, **options) == {"train-0/0000": expected}


def test_samples_without_a_label_are_unlabelled(tmp_path):
    write_tar(tmp_path / "train.tar", sample(0, b"5") + sample(1, b"a cat", "txt"))
    images, classes = records("webdataset", tmp_path)
    assert [(r.label, r.class_name) for r in images] == [(0, "5"), (UNLABELLED, "")]
    assert [r.class_name for r in classes] == ["5"]
    refuses("webdataset", tmp_path, "train", "1 of 2 images", "have no label", "train.tar#")
    bare, _ = records("webdataset", tmp_path, "read_images", label="json.label")
    assert [r.label for r in bare] == [UNLABELLED] * 2
    write_tar(tmp_path / "train.tar", sample(0, b'{"label": null}', "json"))
    assert [r.label for r in records("webdataset", tmp_path)[0]] == [UNLABELLED]


def test_numbers_are_named_by_a_list(tmp_path):
    write_tar(tmp_path / "train.tar", sample(0, b"1") + sample(1, b"cat"))
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert labels(tmp_path) == {"train/0000": "dog", "train/0001": "cat"}
    (tmp_path / "classes.txt").write_text("cat\u2028\r\ndog\x85s\r\n", "utf-8", newline="")
    write_tar(tmp_path / "train.tar", sample(0, b"1"))
    assert labels(tmp_path) == {"train/0000": "dog\x85s"}
    write_tar(tmp_path / "train.tar", sample(0, b"2"))
    refuses("webdataset", tmp_path, "train", "label 2", "none of the 2 classes", "classes.txt")


def test_shards_by_pattern_and_folder(tmp_path):
    for number in range(4):
        write_tar(tmp_path / "all" / f"part-{number:03d}.tar", sample(number))
    few = {"train": "all/part-{000..001}.tar", "val": ["all/part-{003,002}.tar"], "both": "all"}
    ids = [f"all/part-{n:03d}/{n:04d}" for n in range(4)]
    assert list(labels(tmp_path, "train", shards=few)) == ids[:2]
    assert list(labels(tmp_path, "val", shards=few)) == ids[2:]
    assert list(labels(tmp_path, "both", shards=few)) == ids
    few["train"] = "all/part-{003..004}.tar"
    refuses("webdataset", tmp_path, "train", "part-004.tar", "shards", shards=few)
    refuses("webdataset", tmp_path, "train", "the first of its 4 tars", "options: {shards")
    (tmp_path / "all").rename(tmp_path / "train")
    assert len(labels(tmp_path)) == 4
    (tmp_path / "train/part-001.tar").unlink()
    refuses("webdataset", tmp_path, "train", "1 file(s)", "number 1 of part-")


def test_samples_that_are_none_are_named(tmp_path):
    def told(members, *words, **options):
        write_tar(tmp_path / "train.tar", members)
        refuses("webdataset", tmp_path, "train", "train.tar", *words, **options)

    two = [*sample(0), ("0000.seg.png", picture(9))]
    told(two, "0000", "2 images", "options: {image: jpg}")
    assert labels(tmp_path, image="png") == {"train/0000": "0"}
    dotted = [("a." + name, content) for name, content in sample(0) + sample(1)]
    told(dotted, "sample a of", "2 images", "0000.png, 0000.cls", "ends at its first dot")
    told(sample(0), "no image (jpg)", "png, cls", image="jpg")
    told(sample(0, b"", "txt"), "no json.a, but png, txt", label="json.a")
    told(sample(0, b"") + sample(1), "'' as cls")
    told(sample(0) + sample(0), "two members 0000.png")
    refuses("webdataset", tmp_path, "train", "shards: {train: …}", shards="train.tar")


@pytest.mark.parametrize("cut", [1, 512, 700, 1023, 1200, 2000])
def test_a_tar_that_was_cut_is_named_wherever_the_cut_is(cut, tmp_path):
    write_tar(tmp_path / "train.tar", sample(0) + sample(1))
    whole = (tmp_path / "train.tar").read_bytes()
    content = whole[: whole.rstrip(b"\0").rfind(b"ustar") + 1024]  # its blocks, without padding
    (tmp_path / "train.tar").write_bytes(content[:-cut])
    refuses("webdataset", tmp_path, "train", "train.tar", "no whole tar")


def test_other_archives_are_named_with_the_cure(tmp_path):
    write_tar(tmp_path / "train.tar", sample(0))
    one = (tmp_path / "train.tar").read_bytes()
    write_tar(tmp_path / "train.tar", sample(1))
    both = one + (tmp_path / "train.tar").read_bytes()
    (tmp_path / "train.tar").write_bytes(both)
    refuses("webdataset", tmp_path, "train", "second tar")
    write_tar(tmp_path / "train.tar", sample(0), "w:gz")
    refuses("webdataset", tmp_path, "train", "no whole tar", "uncompress")
    (tmp_path / "train.tar").rename(tmp_path / "train.tar.gz")
    refuses("webdataset", tmp_path, "train", "train.tar.gz", "uncompressed first")
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        link = tarfile.TarInfo("0001.png")
        link.type, link.linkname = tarfile.SYMTYPE, "0000.png"
        archive.addfile(link)
    refuses("webdataset", tmp_path, "train", "0001.png", "link")


def test_a_member_beyond_the_end_is_named(tmp_path):
    (tmp_path / "a.tar").write_bytes(bytes(600))
    with pytest.raises(UserError, match=r"a.tar ends before byte 700"):
        load_image(tmp_path / member_path("a.tar", 512, 188))


def test_options_that_a_layout_does_not_have_are_named(tmp_path):
    refuses("webdataset", tmp_path, "train", "'labels'", "shards, image, label", labels="cls")
    refuses("imagenet", tmp_path, "train", "'label'", "it has none", label="cls")
