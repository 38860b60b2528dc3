"""In the place of ADE20K: mosaics of irregular cells cut from six photographs, with masks.

A cell's content comes from one photograph, which is its class; cells of a seventh photograph
are unlabelled. Training and validation mosaics share no pixel of the classes' photographs.
"""

import numpy as np
from PIL import Image

from visae.images.demo_data.crops import Region, photograph, random_crop, save

_CLASSES = {
    "brick": "brick.png",
    "flower": "flower.jpg",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "retina": "retina.jpg",
    "tissue": "ihc.png",
}
# Photograph of each value of a mask; value 0 is unlabelled.
FILES = ("coffee.png", *_CLASSES.values())
_SIDES = (80, 128)  # of the square that fills the picture, in pixels of the photograph


def write(folder, rng, sizes):
    """Write `images/`, `annotations/` and `objectInfo150.txt` into `folder`."""
    counts = {"training": sizes.mosaics_training, "validation": sizes.mosaics_validation}
    pixels = np.zeros(len(FILES), dtype=np.int64)
    images_with = {split: np.zeros_like(pixels) for split in counts}
    for split, count in counts.items():
        for kind in ("images", "annotations"):
            (folder / kind / split).mkdir(parents=True)
        for k in range(count):
            image, mask = _mosaic(rng, sizes.image_size, split)
            name = f"ADE_{'train' if split == 'training' else 'val'}_{k + 1:08d}"
            save(image, folder / "images" / split / f"{name}.jpg")
            Image.fromarray(mask).save(folder / "annotations" / split / f"{name}.png")
            present = np.bincount(mask.ravel(), minlength=len(pixels))
            pixels += present
            images_with[split] += present > 0
    lines = ["Idx\tRatio\tTrain\tVal\tName"]
    for number, name in enumerate(_CLASSES, start=1):
        ratio = pixels[number] / pixels.sum()
        train, val = (images_with[split][number] for split in counts)
        lines.append(f"{number}\t{ratio:.4f}\t{train}\t{val}\t{name}")
    (folder / "objectInfo150.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _mosaic(rng, size, split):
    """A mosaic (PIL image) and its mask (uint8 [size, size]; 0 is unlabelled).

    Three to five points are drawn; the pixels nearest to each are its cell.
    """
    points = rng.uniform(0, size, (rng.integers(3, 6), 2))
    kinds = rng.permutation(len(FILES))[: len(points)]
    centres = np.arange(size) + 0.5
    squared = (centres[:, None, None] - points[:, 0]) ** 2 + (centres[:, None] - points[:, 1]) ** 2
    mask = kinds[squared.argmin(axis=2)].astype(np.uint8)
    mosaic = np.zeros((size, size, 3), dtype=np.uint8)
    for kind in kinds:
        image = photograph(FILES[kind])
        crop = random_crop(image, [_part(image, split)], rng, size, _SIDES)
        inside = mask == kind
        mosaic[inside] = np.asarray(crop)[inside]
    return Image.fromarray(mosaic), mask


def _part(image, split):
    """The left two thirds of a photograph for training, the right third for validation."""
    width, height = image.size
    border = width * 2 // 3
    return Region(0, 0, border, height) if split == "training" else Region(border, 0, width, height)
