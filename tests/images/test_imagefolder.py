"""Images in folders: where their classes come from, and what becomes of those without one."""

import json

import pytest
from PIL import Image

from visae.base.errors import UserError
from visae.images.index import UNLABELLED, read_index, write_classes, write_images
from visae.images.layouts import index_images
from visae.images.layouts.folders import by_number

FILES = {"train": ("a/1.png", "a/2.jpg", "b/1.png"), "val": ("a/9.png", "b/8.png")}


@pytest.fixture
def root(tmp_path):
    for split, names in FILES.items():
        for number, name in enumerate(names):
            picture(tmp_path / split / name, number)
    return tmp_path


def picture(path, number=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (17 * number % 256, 3, 5)).save(path)


def flat(root, count=10):
    for number in range(count):
        picture(root / f"{number:02d}.png", number)
    return root


def labels(index):
    """Image → class name."""
    return {record.path: record.class_name for record in index.images}


def index(root, split="train", **options):
    return index_images("imagefolder", root, split, options)


def test_folders_are_classes(root):
    found = index(root)
    assert labels(found) == {"train/a/1.png": "a", "train/a/2.jpg": "a", "train/b/1.png": "b"}
    assert [record.class_name for record in found.classes] == ["a", "b"]


LISTS = {
    "metadata.csv": 'file_name,text,label\na/1.png,"one, two",x\na/2.jpg,,y\nb/1.png,,x\n',
    "metadata.jsonl": '{"file_name": "a/1.png", "label": "x"}\n{"file_name": "a/2.jpg", '
    '"label": "y"}\n\n{"file_name": "b/1.png", "label": "x"}\n',
    "metadata.tsv": "\ufeffFile_Name\tClass\r\na/1.png\tx\r\na/2.jpg\ty\r\nb/1.png\tx\r\n",
    "metadata.json": '[{"image": "a/1.png", "category": "x"}, {"image": "./a/2.jpg", '
    '"category": "y"}, {"image": "b\\\\1.png", "category": "x"}]',
}


@pytest.mark.parametrize("name", LISTS)
def test_metadata_beside_the_images_go_before_folders(root, name):
    (root / "train" / name).write_text(LISTS[name], "utf-8")
    assert labels(index(root)) == {
        "train/a/1.png": "x", "train/a/2.jpg": "y", "train/b/1.png": "x"
    }  # fmt: skip
    assert set(labels(index(root, "val")).values()) == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("all.csv", "id;species\ntrain/a/1.png;x\na/2;y\ntrain/b/1;x\nval/a/9.png;x\n",
         {"file": "id", "label": "species"}),
        ("all.txt", "train/a/1.png x\n# two\na/2.jpg y\nb/1.png x\n", {}),
        ("all.json", json.dumps({"a/1.png": "x", "2": "y", "b/1.png": "x"}), {}),
        ("all.json", json.dumps({"labels": [["a/1.png", "x"], ["a/2.jpg", "y"], ["b/1.png", "x"]]}),
         {}),
    ],
)  # fmt: skip
def test_a_list_that_the_config_names_goes_before_all(root, name, text, options):
    (root / name).write_text(text)
    (root / "train/metadata.csv").write_text(LISTS["metadata.csv"].replace(",x", ",other"))
    found = index(root, list=name, **options)
    assert labels(found) == {"train/a/1.png": "x", "train/a/2.jpg": "y", "train/b/1.png": "x"}


def test_a_list_may_be_of_one_split(root):
    (root / "of_val.txt").write_text("a/9.png 10\nb/8.png 9.0\n")
    found = index(root, "val", list={"val": "of_val.txt"})
    assert labels(found) == {"val/a/9.png": "10", "val/b/8.png": "9"}
    assert [record.class_name for record in found.classes] == ["9", "10"]  # as numbers
    assert set(labels(index(root, list={"val": "of_val.txt"})).values()) == {"a", "b"}


def test_metadata_in_the_root_may_be_about_another_split(root):
    (root / "metadata.csv").write_text(
        "file_name,label\ntrain/a/1.png,x\ntrain/a/2.jpg,y\ntrain/b/1.png,x\n"
    )
    assert set(labels(index(root)).values()) == {"x", "y"}
    assert labels(index(root, "val")) == {"val/a/9.png": "a", "val/b/8.png": "b"}
    (root / "train/b/1.png").unlink()
    with pytest.raises(UserError, match="names 3 image"):
        index(root, "val")


def test_a_field_between_quotes_may_hold_ends_of_lines_and_other_separators(root):
    text = 'file_name,text,label\na/1.png,"one\n\ntwo",x\na/2.jpg,"\u2028 \x85,",y\nb/1.png,,x\n'
    (root / "train/metadata.csv").write_text(text, newline="")
    assert set(labels(index(root)).values()) == {"x", "y"}
    (root / "train/metadata.csv").write_text(text + 'b/1.png,"three\nfour",z\n')
    with pytest.raises(UserError, match=r"gives .b/1\.png. the labels x and z"):
        index(root)
    (root / "train/metadata.csv").write_text(f'file_name,text,label\na/1.png,"{"t" * 200_000}",x\n')
    with pytest.raises(UserError, match=r"damaged or not a table .*correct the list"):
        index(root)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ('file_name,label\na/1.png,"x\na/2.jpg,y\n', "unexpected end of data"),
        ("file_name,label,label\na/1.png,x,y\n", "column label stands there twice"),
    ],
)
def test_tables_of_labels_with_a_slip_are_refused(root, text, words):
    (root / "train/metadata.csv").write_text(text)
    with pytest.raises(UserError, match=rf"{words}.*correct the list"):
        index(root)


def test_metadata_without_a_column_of_labels_leave_the_folders(root):
    (root / "train/metadata.csv").write_text("file_name,text\na/1.png,a cat\n")
    assert labels(index(root))["train/b/1.png"] == "b"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file_name,label\na/1.png,x\n", ["2 of 3", "train/a/2.jpg", "labels: some"]),
        ("file_name,label\na/1.png,x\na/7.png,y\n", ["1 image(s)", "a/7.png"]),
        ("file_name,label\na/1.png,x\na/1.png,y\n", ["'a/1.png'", "x and y"]),
        ("file_name,label\na/1.png,x\ntrain/a/1.png,y\n", ["train/a/1.png the labels x and y"]),
        ("file_name,label\n1.png,x\n", ["may be", "train/a/1.png", "train/b/1.png"]),
        ("picture,label\na/1.png,x\n", ["picture, label", "options: {file"]),
        ("file_name,label\n,x\n", ["line 2", "names no file"]),
    ],
)
def test_a_list_that_does_not_fit_is_refused(root, text, words):
    (root / "train/metadata.csv").write_text(text)
    with pytest.raises(UserError) as caught:
        index(root)
    for word in words:
        assert word in str(caught.value)


def test_a_file_that_stands_twice_in_json_is_refused(root):
    (root / "all.json").write_text('{"a/1.png": "x", "a/1.png": "y", "a/2.jpg": "x"}')
    with pytest.raises(UserError, match=r"all\.json.*'a/1\.png' stands there twice"):
        index(root, list="all.json")


def test_several_labels_of_one_image_are_refused(root):
    (root / "train/metadata.jsonl").write_text('{"file_name": "a/1.png", "label": ["x", "y"]}\n')
    with pytest.raises(UserError, match=r"line 1.*\['x', 'y'\].*labels: none"):
        index(root)


# ---------------------------------------------------------------- images without a class


def test_images_without_a_class_are_refused_left_out_or_all_taken(root):
    (root / "train/metadata.csv").write_text("file_name,label\na/1.png,x\nb/1.png,\n")
    with pytest.raises(UserError, match=r"2 of 3 images.*\(train/a/2.jpg, train/b/1.png\)"):
        index(root)
    some = index_images("imagefolder", root, "train", labels="some")
    assert labels(some) == {"train/a/1.png": "x"}
    none = index_images("imagefolder", root, "train", labels="none")
    assert labels(none) == dict.fromkeys(("train/a/1.png", "train/a/2.jpg", "train/b/1.png"), "")
    assert {record.label for record in none.images} == {UNLABELLED}
    assert none.classes == ()


def test_a_flat_folder_has_no_labels(tmp_path):
    flat(tmp_path / "val")
    with pytest.raises(UserError, match=r"10 of 10 images.*val/00.png.*labels: none"):
        index_images("imagefolder", tmp_path, "val")
    with pytest.raises(UserError, match="None of the 10 images"):
        index_images("imagefolder", tmp_path, "val", labels="some")
    assert len(index_images("imagefolder", tmp_path, "val", labels="none").images) == 10


def test_an_index_without_labels_is_read_as_it_was_written(tmp_path):
    flat(tmp_path / "val")
    found = index_images("imagefolder", tmp_path, "val", labels="none")
    write_images(tmp_path / "val.csv", found)
    write_classes(tmp_path / "classes.csv", found)
    assert read_index(tmp_path / "val.csv", tmp_path / "classes.csv") == found


def test_imagenets_validation_images_need_no_list_without_labels(tmp_path):
    picture(tmp_path / "train/n01/1.JPEG")
    flat(tmp_path / "val", 3)
    with pytest.raises(UserError, match="list of the flat validation images"):
        index_images("imagenet", tmp_path, "val")
    found = index_images("imagenet", tmp_path, "val", labels="none")
    assert [record.image_id for record in found.images] == ["00", "01", "02"]


# ---------------------------------------------------------------- one folder for all splits


def test_one_folder_is_divided_by_shares(tmp_path):
    flat(tmp_path, 60)
    shares = {"train": 0.7, "val": 0.2, "rest": 0.1}
    parts = {
        split: index_images("imagefolder", tmp_path, split, labels="none", shares=shares)
        for split in shares
    }
    paths = {split: {record.path for record in part.images} for split, part in parts.items()}
    assert [len(part) for part in paths.values()] == [42, 12, 6]
    assert set().union(*paths.values()) == {f"{number:02d}.png" for number in range(60)}
    assert sorted(paths["train"]) != [f"{number:02d}.png" for number in range(42)]


def test_a_tree_of_classes_is_divided_too(tmp_path):
    for name in FILES["train"]:
        picture(tmp_path / name)
    shares = {"train": 0.34, "val": 0.66}
    found = [
        labels(index_images("imagefolder", tmp_path, split, shares=shares)) for split in shares
    ]
    assert found[0] | found[1] == {"a/1.png": "a", "a/2.jpg": "a", "b/1.png": "b"}
    assert [len(part) for part in found] == [1, 2]


def test_numbers_that_are_equal_have_a_place_each():
    assert sorted(["10", "01", "2", "1"], key=by_number) == ["01", "1", "2", "10"]
