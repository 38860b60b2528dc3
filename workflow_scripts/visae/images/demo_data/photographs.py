"""In the place of ImageNet: 54 classes, each a region of one of 12 photographs.

The photograph is the class's parent, so its regions are siblings (groups of 4 and 6).
Training crops come from the outer two thirds of a region and validation crops from the middle.
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
    """Write `train/<class>/`, `val/<class>/` and `parents.csv` into `folder`."""
    parents = ["class,parent"]
    for file, (rows, columns) in GRIDS.items():
        image = photograph(file)
        parent = file.partition(".")[0]
        for i, region in enumerate(split_region(whole(image), rows, columns)):
            name = f"{parent}_row{i // columns}_column{i % columns}"
            parents.append(f"{name},{parent}")
            train, held_out = train_and_held_out(region)
            parts = (
                ("train", train, sizes.photographs_train),
                ("val", held_out, sizes.photographs_val),
            )
            for split, regions, count in parts:
                inside = folder / split / name
                inside.mkdir(parents=True)
                for k in range(count):
                    crop = random_crop(image, regions, rng, sizes.image_size)
                    save(crop, inside / f"{name}_{split}_{k:04d}.JPEG")
    (folder / "parents.csv").write_text("\n".join(parents) + "\n", encoding="utf-8")
