"""A labelled training split beside an unlabelled one: indexed together, read back apart."""

from PIL import Image

from visae.images.classes import unified
from visae.images.index import read_index, write_classes, write_images
from visae.images.layouts import index_images


def test_the_classes_of_one_split_stand_beside_images_without_any(tmp_path):
    names = ["train/cat/1.png", "train/dog/1.png", "val/1.png", "val/2.png"]
    for number, name in enumerate(names):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(path)
    listed = {
        "train": index_images("imagefolder", tmp_path, "train"),
        "val": index_images("imagefolder", tmp_path, "val", labels="none"),
    }
    whole, told = unified(listed, tmp_path)
    assert told is None
    found = {}
    write_classes(tmp_path / "classes.csv", whole["train"])
    for split, index in whole.items():
        write_images(tmp_path / f"{split}.csv", index)
        found[split] = read_index(tmp_path / f"{split}.csv", tmp_path / "classes.csv")
    labels = {s: [record.label for record in index.images] for s, index in found.items()}
    assert labels == {"train": [0, 1], "val": [-1, -1]}
