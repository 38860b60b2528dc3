"""In the place of DTD: three textures, each seen from near, at middle distance and from far.

A texture is cut into three strips. In partition p they are, in turn, the training, validation
and test part, so that no two parts of a partition share a pixel.
"""

from visae.images.demo_data.crops import photograph, random_crop, save, split_region, whole

_TEXTURES = ("brick", "grass", "gravel")
# Side of the square that fills the picture, in pixels of the 512 × 512 photographs.
_DISTANCES = {"near": (52, 60), "middle": (90, 102), "far": (152, 168)}
_PARTS = ("train", "val", "test")


def write(folder, rng, sizes):
    """Write `images/<class>/` and `labels/{train,val,test}{1,2,3}.txt` into `folder`."""
    paths = [[], [], []]
    for texture in _TEXTURES:
        image = photograph(f"{texture}.png")
        strips = split_region(whole(image), 1, 3)
        for distance, sides in _DISTANCES.items():
            name = f"{texture}_{distance}"
            (folder / "images" / name).mkdir(parents=True)
            for strip, region in enumerate(strips):
                for k in range(sizes.textures_part):
                    path = f"{name}/{name}_{strip * sizes.textures_part + k + 1:04d}.jpg"
                    crop = random_crop(image, [region], rng, sizes.image_size, sides)
                    save(crop, folder / "images" / path)
                    paths[strip].append(path)
    (folder / "labels").mkdir()
    for partition in (1, 2, 3):
        for i, part in enumerate(_PARTS):
            lines = "\n".join(paths[(i + partition - 1) % 3]) + "\n"
            (folder / "labels" / f"{part}{partition}.txt").write_text(lines, encoding="utf-8")
