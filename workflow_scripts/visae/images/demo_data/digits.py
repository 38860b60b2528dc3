"""In the place of CUB-200-2011: scikit-learn's scanned digits, each digit a "species"."""

import numpy as np
from PIL import Image

from visae.base.errors import UserError
from visae.images.demo_data.crops import package_file, save

_NAMES = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def write(folder, rng, sizes):
    """Write `images/<class>/` and CUB-200-2011's four text files into `folder`."""
    table = np.loadtxt(package_file("sklearn", "datasets/data/digits.csv.gz"), delimiter=",")
    scans, truth = table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(int)
    classes, images, labels, split = [], [], [], []
    for label, name in enumerate(_NAMES):
        class_name = f"{label + 1:03d}.{name}"
        classes.append(f"{label + 1} {class_name}")
        (folder / "images" / class_name).mkdir(parents=True)
        rows = rng.permutation(np.flatnonzero(truth == label))
        wanted = sizes.digits_train + sizes.digits_test
        if wanted > len(rows):
            raise UserError(
                f"The demo has {len(rows)} scans of the digit {label} and {wanted} are asked for: "
                "lower digits_train or digits_test."
            )
        for k, row in enumerate(rows[:wanted]):
            number = len(images) + 1
            path = f"{class_name}/{name}_{k:04d}_{row:04d}.jpg"
            scan = Image.fromarray((scans[row] * (255 / 16)).astype(np.uint8))
            size = (sizes.image_size, sizes.image_size)
            enlarged = scan.resize(size, Image.Resampling.BICUBIC).convert("RGB")
            save(enlarged, folder / "images" / path)
            images.append(f"{number} {path}")
            labels.append(f"{number} {label + 1}")
            split.append(f"{number} {int(k < sizes.digits_train)}")
    lists = {
        "classes": classes,
        "images": images,
        "image_class_labels": labels,
        "train_test_split": split,
    }
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
