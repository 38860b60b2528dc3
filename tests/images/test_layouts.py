"""Every layout on a miniature written exactly as the data set's authors ship it."""

import json

import numpy as np
import pyarrow
import pytest
import scipy.io
from PIL import Image

from visae.base.errors import UserError
from visae.images.containers import row_path
from visae.images.copies import check_disjoint
from visae.images.decoding import load_image
from visae.images.layouts import LAYOUTS, index_images


def put(root, *paths):
    """Empty files: indexing never opens an image."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def write(root, path, *lines):
    put(root, path)
    (root / path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def labels(index):
    """Path → label."""
    return {record.path: record.label for record in index.images}


def class_names(index):
    return [record.class_name for record in index.classes]


def refuses(layout, root, split, *words):
    """Indexing raises one sentence that holds all `words`."""
    with pytest.raises(UserError) as caught:
        index_images(layout, root, split)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    for word in words:
        assert str(word) in message


# --- what all layouts share ---------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_root_is_named_with_where_to_get_the_data_set(layout, tmp_path):
    split = (LAYOUTS[layout].splits or ("train",))[0]
    refuses(layout, tmp_path / "absent", split, tmp_path / "absent", LAYOUTS[layout].source)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("last", [False, True])
def test_an_empty_root_is_refused_for_every_split(layout, last, tmp_path):
    split = (LAYOUTS[layout].splits or ("train",))[-1 if last else 0]
    refuses(layout, tmp_path, split, tmp_path, LAYOUTS[layout].source)


def test_unknown_layouts_and_splits_are_named_with_the_choice(tmp_path):
    refuses("imagnet", tmp_path, "train", "imagnet", "imagenet")
    refuses("imagenet", tmp_path, "test", "test", "train, val")


# --- ImageNet -----------------------------------------------------------------------------

WNIDS = ("n01440764", "n01443537", "n02119789")


@pytest.fixture
def imagenet(tmp_path):
    for wnid in WNIDS:
        put(tmp_path, *(f"train/{wnid}/{wnid}_{k}.JPEG" for k in (10, 9)))
    return tmp_path


def put_flat_val(root, folder="val"):
    put(root, *(f"{folder}/ILSVRC2012_val_{k:08d}.JPEG" for k in (1, 2, 3)))


def write_devkit(root, *truth):
    """As in the real development kit: numbers not in alphabetical order, and inner synsets."""
    data = root / "ILSVRC2012_devkit_t12" / "data"
    write(data, "ILSVRC2012_validation_ground_truth.txt", *truth)
    kinds = [("ILSVRC2012_ID", object), ("WNID", object), ("num_children", object)]
    rows = [(1, WNIDS[2], 0), (2, WNIDS[0], 0), (3, WNIDS[1], 0), (1001, "n00001740", 3)]
    scipy.io.savemat(data / "meta.mat", {"synsets": np.array(rows, dtype=kinds).reshape(-1, 1)})


def test_imagenet_train(imagenet):
    put(imagenet, "train/n01440764/._n01440764_9.JPEG", "train/n01440764/Thumbs.db")
    index = index_images("imagenet", imagenet, "train")
    assert class_names(index) == list(WNIDS)
    assert [record.image_id for record in index.images] == [
        f"{w}/{w}_{k}" for w in WNIDS for k in (10, 9)
    ]
    assert labels(index)["train/n02119789/n02119789_9.JPEG"] == 2
    assert {record.parent for record in index.classes} == {""}


def test_a_class_without_validation_images_keeps_the_labels_of_the_others(imagenet):
    put(imagenet, "val/n02119789/ILSVRC2012_val_00000001.JPEG")
    index = index_images("imagenet", imagenet, "val")
    assert class_names(index) == list(WNIDS)
    assert list(labels(index).values()) == [2]


def test_flat_validation_images_with_either_list_equal_those_in_folders(imagenet):
    put_flat_val(imagenet)
    truth = (WNIDS[2], WNIDS[1], WNIDS[2])
    write_devkit(imagenet, "1", "3", "1")
    by_devkit = index_images("imagenet", imagenet, "val")
    solution = [f"ILSVRC2012_val_{k:08d},{truth[k - 1]} 85 1 499 272" for k in (2, 3, 1)]
    write(imagenet, "LOC_val_solution.csv", "ImageId,PredictionString", *solution)
    (imagenet / "ILSVRC2012_devkit_t12/data/meta.mat").unlink()
    assert index_images("imagenet", imagenet, "val") == by_devkit
    for image in (imagenet / "val").iterdir():
        wnid = truth[int(image.stem[-1]) - 1]
        (imagenet / "sorted/val" / wnid).mkdir(parents=True, exist_ok=True)
        image.rename(imagenet / "sorted/val" / wnid / image.name)
    (imagenet / "train").rename(imagenet / "sorted/train")
    in_folders = index_images("imagenet", imagenet / "sorted", "val")
    assert [r._replace(path="") for r in in_folders.images] == [
        r._replace(path="") for r in by_devkit.images
    ]


def test_imagenet_as_kaggle_unpacks_it(imagenet):
    (imagenet / "ILSVRC/Data/CLS-LOC").mkdir(parents=True)
    (imagenet / "train").rename(imagenet / "ILSVRC/Data/CLS-LOC/train")
    put(imagenet, "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG")
    solution = f"ILSVRC2012_val_00000001,{WNIDS[1]} 1 2 3 4 {WNIDS[1]} 5 6 7 8"
    write(imagenet, "LOC_val_solution.csv", "ImageId,PredictionString", solution)
    assert labels(index_images("imagenet", imagenet, "val")) == {
        "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG": 1
    }
    assert len(index_images("imagenet", imagenet, "train").images) == 6


def test_imagenet_parents(imagenet):
    write(imagenet, "parents.csv", "class,parent", f"{WNIDS[0]},fish", f"{WNIDS[1]},fish")
    index = index_images("imagenet", imagenet, "train")
    assert [record.parent for record in index.classes] == ["fish", "fish", ""]


def test_imagenet_parents_are_checked(imagenet):
    write(imagenet, "parents.csv", "class,parent", "n99999999,fish")
    refuses("imagenet", imagenet, "train", "parents.csv", "n99999999")
    write(imagenet, "parents.csv", "class,parent", f"{WNIDS[0]},fish", f"{WNIDS[0]},bird")
    refuses("imagenet", imagenet, "train", "parents.csv", WNIDS[0], "twice")
    write(imagenet, "parents.csv", "wnid,parent", f"{WNIDS[0]},fish")
    refuses("imagenet", imagenet, "train", "parents.csv", "class,parent")
    write(imagenet, "parents.csv", "class,parent", f"{WNIDS[0]}")
    refuses("imagenet", imagenet, "train", "parents.csv", WNIDS[0])


def test_half_unpacked_imagenet(imagenet):
    refuses("imagenet", imagenet, "val", imagenet / "val", "image-net.org")
    put(imagenet, "train/n03000000/readme.txt")
    refuses("imagenet", imagenet, "train", "n03000000", "no images")
    put(imagenet / "tars", "train/n01440764.tar", "train/n01443537.tar")
    refuses("imagenet", imagenet / "tars", "train", "n01440764.tar", "unpack")


def test_images_beside_class_folders_are_not_dropped(imagenet):
    put(imagenet, f"val/{WNIDS[0]}/ILSVRC2012_val_00000001.JPEG")
    put(imagenet, "val/ILSVRC2012_val_00000002.JPEG")
    refuses("imagenet", imagenet, "val", "ILSVRC2012_val_00000002.JPEG")


def test_validation_folder_of_an_unknown_class(imagenet):
    put(imagenet, "val/n77777777/ILSVRC2012_val_00000001.JPEG")
    lists = ("[n01440764, n01443537, n02119789]", "val has [n77777777]")
    refuses("imagenet", imagenet, "val", "n77777777", *lists)


def test_flat_validation_images_need_a_list(imagenet):
    put_flat_val(imagenet)
    refuses("imagenet", imagenet, "val", "LOC_val_solution.csv", "ground_truth.txt")


@pytest.mark.parametrize(
    "truth, words",
    [
        (("1", "3"), ("ILSVRC2012_val_00000003", "no class")),
        (("1", "3", "1", "2"), ("ILSVRC2012_val_00000004", "1 image(s)", "not in")),
        (("1", "4", "1"), ("line 2", "'4'")),
        (("1", "1001", "1"), ("line 2", "'1001'")),
        (("1", "x", "1"), ("line 2", "'x'")),
    ],
)
def test_a_development_kit_that_does_not_fit(imagenet, truth, words):
    put_flat_val(imagenet)
    write_devkit(imagenet, *truth)
    refuses("imagenet", imagenet, "val", *words)


def test_a_kaggle_list_that_does_not_fit(imagenet):
    put_flat_val(imagenet)
    rows = [f"ILSVRC2012_val_{k:08d},{WNIDS[0]} 1 2 3 4" for k in (1, 2, 3)]
    header = "ImageId,PredictionString"
    write(imagenet, "LOC_val_solution.csv", header, *rows, rows[0])
    refuses("imagenet", imagenet, "val", "ILSVRC2012_val_00000001", "twice")
    write(imagenet, "LOC_val_solution.csv", header, *rows[:2], "ILSVRC2012_val_00000003,n5 1 2 3 4")
    refuses("imagenet", imagenet, "val", "ILSVRC2012_val_00000003", "'n5'")
    write(imagenet, "LOC_val_solution.csv", "id,label", *rows)
    refuses("imagenet", imagenet, "val", header)


def test_pictures_of_every_kind_and_in_subfolders_are_found_and_told_apart(tmp_path):
    names = ("a.png", "a.jpg", "b.PGM", "c.gif", "d.jfif", "e.avif", "near/a.png", "near/far/f.jpe")
    put(tmp_path, *(f"train/cat/{name}" for name in names), "train/cat/.hidden/g.png")
    Image.new("RGB", (2, 2)).save(tmp_path / "train/cat/photo", "JPEG")
    (tmp_path / "train/cat/near/round").symlink_to(tmp_path / "train/cat")
    images = index_images("imagenet", tmp_path, "train").images
    assert {record.path: record.image_id for record in images} == {
        "train/cat/a.jpg": "train/cat/a.jpg",
        "train/cat/a.png": "train/cat/a.png",
        "train/cat/b.PGM": "cat/b",
        "train/cat/c.gif": "cat/c",
        "train/cat/d.jfif": "cat/d",
        "train/cat/e.avif": "cat/e",
        "train/cat/near/a.png": "cat/near/a",
        "train/cat/near/far/f.jpe": "cat/near/far/f",
        "train/cat/photo": "cat/photo",
    }


# --- CUB-200-2011 -------------------------------------------------------------------------


@pytest.fixture
def cub(tmp_path):
    paths = (
        "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg",
        "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg",
        "002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg",
    )
    put(tmp_path / "images", *paths)
    write(tmp_path, "images.txt", *(f"{i} {p}" for i, p in enumerate(paths, start=1)))
    write(tmp_path, "image_class_labels.txt", "1 1", "2 1", "3 2")
    write(tmp_path, "classes.txt", "1 001.Black_footed_Albatross", "2 002.Laysan_Albatross")
    write(tmp_path, "train_test_split.txt", "1 0", "2 1", "3 1")
    return tmp_path


def test_cub(cub):
    train, test = (index_images("cub_200_2011", cub, split) for split in ("train", "test"))
    assert labels(train) == {
        "images/001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg": 0,
        "images/002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg": 1,
    }
    assert labels(test) == {
        "images/001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg": 0
    }
    assert train.classes == test.classes
    assert class_names(test) == ["001.Black_footed_Albatross", "002.Laysan_Albatross"]
    check_disjoint({"train": train, "test": test})


@pytest.mark.parametrize(
    "file, lines, words",
    [
        (
            "images.txt",
            ("1 001.A/a.jpg", "2 001.A/b.jpg", "3 001.A/c.jpg"),
            ("3 image(s)", "a.jpg"),
        ),
        ("images.txt", ("1 001.A/a.jpg", "1 001.A/b.jpg", "3 001.A/c.jpg"), ("number 1", "twice")),
        ("images.txt", ("1", "2 001.A/b.jpg"), ("line 1", "field")),
        ("image_class_labels.txt", ("1 1", "2 1", "3 3"), ("image 3", "class '3'")),
        ("image_class_labels.txt", ("1 1", "2 0", "3 2"), ("image 2", "class '0'")),
        ("image_class_labels.txt", ("1 1", "3 2"), ("differ", "number 2")),
        ("train_test_split.txt", ("1 0", "2 1", "3 1", "1 1"), ("number 1", "twice")),
        ("train_test_split.txt", ("1 0", "2 2", "3 1"), ("image 2", "'2'")),
        ("train_test_split.txt", ("1 0", "2 1", "3 1", "4 1"), ("differ", "number 4")),
        ("classes.txt", ("1 001.A", "3 003.C"), ("'3'", "2 is expected")),
    ],
)
def test_cub_lists_that_do_not_fit(cub, file, lines, words):
    write(cub, file, *lines)
    refuses("cub_200_2011", cub, "train", file, *words)


def test_cub_without_a_list(cub):
    (cub / "train_test_split.txt").unlink()
    refuses("cub_200_2011", cub, "test", "train_test_split.txt", "caltech.edu")


def test_cub_as_another_tool_writes_it(cub):
    """Marked as UTF-8, with Windows' line ends and paths, and numbers as a spreadsheet has them."""
    expected = {split: index_images("cub_200_2011", cub, split) for split in ("train", "test")}
    for path in cub.glob("*.txt"):
        lines = path.read_text().replace("/", "\\").splitlines()
        if path.name in ("image_class_labels.txt", "train_test_split.txt"):
            lines = [line.replace(" ", ".0\t") + ".0" for line in lines]
        path.write_text("\ufeff# exported\r\n" + "\r\n".join(lines), encoding="utf-8", newline="")
    assert {s: index_images("cub_200_2011", cub, s) for s in expected} == expected


def test_a_name_in_another_form_of_unicode_is_said_to_be_one(cub):
    """As a Mac unpacks it: a letter and its accent apart."""
    (cub / "images/001.Black_footed_Albatross/e\u0301.jpg").touch()
    write(cub, "images.txt", "1 001.Black_footed_Albatross/\u00e9.jpg")
    for name in ("image_class_labels.txt", "train_test_split.txt"):
        write(cub, name, "1 1")
    refuses("cub_200_2011", cub, "train", "1 image(s)", "\u00e9.jpg", "another form of Unicode")


# --- DTD ----------------------------------------------------------------------------------


@pytest.fixture
def dtd(tmp_path):
    for name in ("banded", "zigzagged"):
        put(tmp_path, *(f"images/{name}/{name}_{k:04d}.jpg" for k in (2, 4, 5)))
    for partition, order in ((1, (2, 4, 5)), (10, (5, 2, 4))):
        for part, k in zip(("train", "val", "test"), order, strict=True):
            lines = (f"{name}/{name}_{k:04d}.jpg" for name in ("banded", "zigzagged"))
            write(tmp_path, f"labels/{part}{partition}.txt", *lines)
    return tmp_path


def test_dtd_partitions(dtd):
    splits = {s: index_images("dtd", dtd, s) for s in ("train1", "val1", "test1", "test10")}
    assert labels(splits["train1"]) == {
        "images/banded/banded_0002.jpg": 0,
        "images/zigzagged/zigzagged_0002.jpg": 1,
    }
    assert splits["test10"].images == splits["val1"].images
    both = index_images("dtd", dtd, "trainval1")
    assert both.images == tuple(sorted(splits["train1"].images + splits["val1"].images))
    check_disjoint({"trainval1": both, "test1": splits["test1"]})
    with pytest.raises(UserError, match="'trainval1' and 'val1' overlap"):
        check_disjoint({"trainval1": both, "val1": splits["val1"]})


def test_dtd_lists_that_do_not_fit(dtd):
    refuses("dtd", dtd, "train2", "train2.txt", "vgg/data/dtd")
    refuses("dtd", dtd, "train11", "train11")
    write(dtd, "labels/train1.txt", "banded/banded_0002.jpg", "banded/banded_0099.jpg")
    refuses("dtd", dtd, "trainval1", "train1.txt", "banded_0099.jpg")
    write(dtd, "labels/train1.txt", "banded/banded_0002.jpg", "banded/banded_0002.jpg")
    refuses("dtd", dtd, "train1", "banded/banded_0002", "twice")
    write(dtd, "labels/train1.txt", "banded/banded_0004.jpg")
    refuses("dtd", dtd, "test1", "val1.txt", "train1.txt", "overlap", "banded_0004.jpg")


# --- iNaturalist 2021 ---------------------------------------------------------------------

WORM = "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris"
FLEABANE = "00001_Plantae_Tracheophyta_Magnoliopsida_Asterales_Asteraceae_Erigeron_canadensis"
DAISY = "00002_Plantae_Tracheophyta_Magnoliopsida_Asterales_Asteraceae_Erigeron_annuus"


@pytest.fixture
def inaturalist(tmp_path):
    put(tmp_path, *(f"train_mini/{name}/{i}.jpg" for i, name in enumerate((WORM, FLEABANE, DAISY))))
    put(tmp_path, f"val/{DAISY}/7.jpg", f"val/{WORM}/8.jpg")
    return tmp_path


def inaturalist_json(split, files):
    """As in the authors' files; category ids are not those of the folder names on purpose."""
    names = {11: DAISY, 12: WORM, 10: FLEABANE}
    ids = {name: number for number, name in names.items()}
    return {
        "info": {},
        "licenses": [],
        "images": [
            {"id": 100 + i, "width": 5, "height": 5, "file_name": f"{split}/{name}/{file}"}
            for i, (name, file) in enumerate(files)
        ],
        "annotations": [
            {"id": i, "image_id": 100 + i, "category_id": ids[name]}
            for i, (name, _) in enumerate(files)
        ],
        "categories": [
            {"id": number, "name": "", "genus": name.split("_")[6], "image_dir_name": name}
            for number, name in names.items()
        ],
    }


def test_inaturalist_folders(inaturalist):
    mini, val = (index_images("inaturalist_2021", inaturalist, s) for s in ("train_mini", "val"))
    assert mini.classes == val.classes
    assert [record.parent for record in val.classes] == [
        "Lumbricidae_Lumbricus",
        "Asteraceae_Erigeron",
        "Asteraceae_Erigeron",
    ]
    assert labels(val) == {f"val/{DAISY}/7.jpg": 2, f"val/{WORM}/8.jpg": 0}


def test_inaturalist_json_equals_folders(inaturalist):
    by_folders = index_images("inaturalist_2021", inaturalist, "val")
    content = inaturalist_json("val", [(DAISY, "7.jpg"), (WORM, "8.jpg")])
    (inaturalist / "val.json").write_text(json.dumps(content))
    assert index_images("inaturalist_2021", inaturalist, "val") == by_folders


def test_inaturalist_json_with_numbers_as_a_table_has_them(inaturalist):
    """Floats, where a column had a gap, and texts."""
    by_folders = index_images("inaturalist_2021", inaturalist, "val")
    content = inaturalist_json("val", [(DAISY, "7.jpg"), (WORM, "8.jpg")])
    for annotation in content["annotations"]:
        annotation |= {key: float(annotation[key]) for key in ("image_id", "category_id")}
    for category in content["categories"]:
        category["id"] = str(category["id"])
    (inaturalist / "val.json").write_text(json.dumps(content))
    assert index_images("inaturalist_2021", inaturalist, "val") == by_folders


def test_inaturalist_json_that_does_not_fit(inaturalist):
    def rewrite(content):
        (inaturalist / "val.json").write_text(json.dumps(content))

    files = [(DAISY, "7.jpg"), (WORM, "8.jpg")]
    rewrite(inaturalist_json("val", [*files, (WORM, "9.jpg")]))
    refuses("inaturalist_2021", inaturalist, "val", "val.json", "1 image(s)", "9.jpg")
    rewrite(inaturalist_json("val", [*files, files[0]]))
    refuses("inaturalist_2021", inaturalist, "val", DAISY, "twice")
    content = inaturalist_json("val", files)
    content["annotations"][1]["category_id"] = 99
    rewrite(content)
    refuses("inaturalist_2021", inaturalist, "val", "8.jpg", "category 99")
    content["annotations"].pop()
    rewrite(content)
    refuses("inaturalist_2021", inaturalist, "val", "8.jpg", "category None")
    for section, key in (("images", "file_name"), ("categories", "image_dir_name")):
        content = inaturalist_json("val", files)
        del content[section][1][key]
        rewrite(content)
        refuses("inaturalist_2021", inaturalist, "val", "val.json", section, key)
    del content["annotations"]
    rewrite(content)
    refuses("inaturalist_2021", inaturalist, "val", "val.json", "'annotations'")
    (inaturalist / "val.json").write_text(json.dumps(content)[:-9])
    refuses("inaturalist_2021", inaturalist, "val", "val.json", "JSON")


def test_inaturalist_folders_without_taxonomy_or_images(inaturalist):
    (inaturalist / "val" / FLEABANE).mkdir()
    refuses("inaturalist_2021", inaturalist, "val", FLEABANE, "no images")
    put(inaturalist, "val/cat/1.jpg")
    refuses("inaturalist_2021", inaturalist, "train_mini", "'cat'", "taxonomy")
    refuses("inaturalist_2021", inaturalist, "train", inaturalist / "train", "inat_comp")


# --- ADE20K -------------------------------------------------------------------------------


@pytest.fixture
def ade20k(tmp_path):
    for split, short in (("training", "train"), ("validation", "val")):
        for k in (1, 2):
            put(tmp_path, f"images/{split}/ADE_{short}_{k:08d}.jpg")
            put(tmp_path, f"annotations/{split}/ADE_{short}_{k:08d}.png")
    return tmp_path


def test_ade20k(ade20k):
    index = index_images("ade20k", ade20k, "validation")
    assert index.images[1] == (
        "ADE_val_00000002",
        "images/validation/ADE_val_00000002.jpg",
        -1,
        "",
        "annotations/validation/ADE_val_00000002.png",
    )
    assert len(index.classes) == 150
    rows = ("1\t0.1576\t11664\t1172\twall", "2 \t0.1072\t6046\t612\tbuilding, edifice ")
    write(ade20k, "objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tName", *rows)
    assert class_names(index_images("ade20k", ade20k, "training")) == ["wall", "building, edifice"]


def test_ade20k_that_does_not_fit(ade20k):
    write(ade20k, "objectInfo150.txt", "Idx\tName", "1\twall", "3\tsky")
    refuses("ade20k", ade20k, "training", "objectInfo150.txt", "sky", "2 is expected")
    write(ade20k, "objectInfo150.txt", "1\twall")
    refuses("ade20k", ade20k, "training", "objectInfo150.txt", "Idx")
    (ade20k / "annotations/training/ADE_train_00000002.png").unlink()
    refuses("ade20k", ade20k, "training", "ADE_train_00000002", "no mask")
    (ade20k / "images/validation/ADE_val_00000001.jpg").unlink()
    refuses("ade20k", ade20k, "validation", "ADE_val_00000001", "no image")
    put(ade20k, "images/validation/ADE_val_00000002.png")
    refuses("ade20k", ade20k, "validation", "ADE_val_00000002", "suffix")


# --- Hugging Face -------------------------------------------------------------------------


def write_saved_data_set(root, split, labels_of_files):
    """What `datasets.Dataset.save_to_disk` writes: Arrow streams and two descriptions."""
    folder = root / split
    folder.mkdir(parents=True)
    features = {
        "picture": {"_type": "Image"},
        "kind": {"names": ["cat", "dog"], "_type": "ClassLabel"},
        "note": {"dtype": "string", "_type": "Value"},
    }
    names = [f"data-{i:05d}-of-00002.arrow" for i in range(len(labels_of_files))]
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    (folder / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": name} for name in names]})
    )
    return [folder / name for name in names]


@pytest.fixture
def saved(tmp_path):
    labels_of_files = [(0, 1, 0), (1,)]
    files = write_saved_data_set(tmp_path, "train", labels_of_files)
    shade = 0
    for file, kinds in zip(files, labels_of_files, strict=True):
        rows = []
        for kind in kinds:
            picture = tmp_path / "picture.png"
            Image.new("RGB", (3, 2), (shade, 0, 0)).save(picture)
            content = {"bytes": picture.read_bytes(), "path": None}
            rows.append({"picture": content, "kind": kind, "note": ""})
            shade += 1
        table = pyarrow.Table.from_pylist(rows)
        with pyarrow.ipc.new_stream(str(file), table.schema) as writer:
            writer.write_table(table)
    return tmp_path


def test_huggingface(saved):
    index = index_images("huggingface", saved, "train")
    assert [record.label for record in index.images] == [0, 1, 0, 1]
    assert class_names(index) == ["cat", "dog"]
    images = [load_image(saved / record.path) for record in index.images]
    assert [image.getpixel((0, 0))[0] for image in images] == [0, 1, 2, 3]
    with pytest.raises(UserError, match="9"):
        load_image(saved / row_path("train/data-00000-of-00002.arrow", 9, "picture"))


@pytest.mark.parametrize(
    "lists",
    [
        [{"_type": "ClassLabel", "names": ["a"]}],
        {"_type": "Sequence", "feature": {"_type": "ClassLabel", "names": ["a"]}},
        {"_type": "List", "feature": {"_type": "ClassLabel", "names": ["a"]}, "length": -1},
    ],
)
def test_huggingface_columns_of_lists_are_named(lists, tmp_path):
    write_saved_data_set(tmp_path, "train", [(0,)])
    features = {"image": {"_type": "Image"}, "kinds": lists, "note": None}
    (tmp_path / "train/dataset_info.json").write_text(json.dumps({"features": features}))
    refuses("huggingface", tmp_path, "train", "0 columns of type ClassLabel", "kinds holds lists")


def test_huggingface_descriptions_that_lack_something(saved):
    info, state = (saved / "train" / name for name in ("dataset_info.json", "state.json"))
    whole, files = json.loads(info.read_text()), json.loads(state.read_text())
    info.write_text(json.dumps({"features": None}))
    refuses("huggingface", saved, "train", "dataset_info.json", "'features'")
    del whole["features"]["kind"]["names"]
    info.write_text(json.dumps(whole))
    refuses("huggingface", saved, "train", "'kind'", "ClassLabel(names")
    whole["features"]["kind"]["names"] = ["cat", "dog"]
    info.write_text(json.dumps(whole))
    state.write_text(json.dumps(files | {"_indices_data_files": [{"filename": "i.arrow"}]}))
    refuses("huggingface", saved, "train", "flatten_indices")
    state.write_text(json.dumps({"_data_files": [{}]}))
    refuses("huggingface", saved, "train", "state.json", "no name")
    state.write_text(json.dumps(files))
    (saved / "train/data-00001-of-00002.arrow").write_bytes(b"words")
    refuses("huggingface", saved, "train", "data-00001-of-00002.arrow", "save_to_disk")


def test_huggingface_needs_one_column_of_each_kind(tmp_path):
    write_saved_data_set(tmp_path, "train", [(0,)])
    info = tmp_path / "train/dataset_info.json"
    info.write_text(json.dumps({"features": {"a": {"_type": "Image"}, "b": {"_type": "Image"}}}))
    refuses("huggingface", tmp_path, "train", "2 columns of type Image (a, b)")
