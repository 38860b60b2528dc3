"""In the place of ImageNet: 54 classes, each a region of one of 12 photographs.

The photograph is the class's parent, so its regions are siblings (groups of 4 and 6).
Training crops come from the outer two thirds of a region and validation crops from the middle.
As in ImageNet's own archives, the training images lie in a folder per class and the validation
images all in one, their classes in Kaggle's list.
"""

from visae.images.demo_data.crops import (
    photograph,
    random_crop,
    save,
    split_region,
    train_and_held_out,
    whole,
)

# Photograph → rows and columns of its regions.
GRIDS = {
    "astronaut.png": (2, 2),
    "camera.png": (2, 2),
    "chelsea.png": (2, 2),
    "china.jpg": (2, 2),
    "coffee.png": (2, 2),
    "coins.png": (2, 2),
    "hubble_deep_field.jpg": (2, 3),
    "moon.png": (2, 3),
    "motorcycle_left.png": (2, 2),
    "page.png": (2, 2),
    "rocket.jpg": (2, 3),
    "text.png": (2, 2),
}


def write(folder, rng, sizes):
    """Write `train/<class>/`, flat `val/`, `LOC_val_solution.csv` and `parents.csv`."""
    parents, held_out = ["class,parent"], []
    for file, (rows, columns) in GRIDS.items():
        image = photograph(file)
        parent = file.partition(".")[0]
        for i, region in enumerate(split_region(whole(image), rows, columns)):
            name = f"{parent}_row{i // columns}_column{i % columns}"
            parents.append(f"{name},{parent}")
            outer, middle = train_and_held_out(region)
            inside = folder / "train" / name
            inside.mkdir(parents=True)
            for k in range(sizes.photographs_train):
                crop = random_crop(image, outer, rng, sizes.image_size)
                save(crop, inside / f"{name}_train_{k:04d}.JPEG")
            for _ in range(sizes.photographs_val):
                held_out.append((name, random_crop(image, middle, rng, sizes.image_size)))
    (folder / "parents.csv").write_text("\n".join(parents) + "\n", encoding="utf-8")
    _write_flat(folder, [held_out[i] for i in rng.permutation(len(held_out))], sizes.image_size)


def _write_flat(folder, images, size):
    """Images of [(class, crop)] in the order of their numbers, and the list of their classes."""
    (folder / "val").mkdir()
    lines = ["ImageId,PredictionString"]
    for number, (name, crop) in enumerate(images, start=1):
        image_id = f"ILSVRC2012_val_{number:08d}"
        save(crop, folder / "val" / f"{image_id}.JPEG")
        lines.append(f"{image_id},{name} 0 0 {size} {size} ")  # the class and one bounding box
    (folder / "LOC_val_solution.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
