"""In the place of iNaturalist 2021: 27 "species", each a region of one of 3 photographs.

The photograph is the family, the row of the region the genus (three species each) and its
column the species; the names are invented. Training crops come from the outer two thirds of a
region and validation crops from the middle.
"""

from visae.images.demo_data.crops import (
    photograph,
    random_crop,
    save,
    split_region,
    train_and_held_out,
    whole,
)

_FAMILIES = {
    "Animalia_Chordata_Mammalia_Histologia_Coloridae": "ihc.png",
    "Animalia_Chordata_Mammalia_Primates_Retinidae": "retina.jpg",
    "Plantae_Tracheophyta_Magnoliopsida_Asterales_Floraceae": "flower.jpg",
}
_GENERA = ("Infera", "Media", "Supera")
_SPECIES = ("centralis", "dextra", "sinistra")


def write(folder, rng, sizes):
    """Write `train_mini/<class>/` and `val/<class>/` into `folder`."""
    number = 0
    for family, file in _FAMILIES.items():
        image = photograph(file)
        names = [f"{family}_{genus}_{species}" for genus in _GENERA for species in _SPECIES]
        for name, region in zip(names, split_region(whole(image), 3, 3), strict=True):
            train, held_out = train_and_held_out(region)
            parts = (
                ("train_mini", train, sizes.organisms_train),
                ("val", held_out, sizes.organisms_val),
            )
            for split, regions, count in parts:
                inside = folder / split / f"{number:05d}_{name}"
                inside.mkdir(parents=True)
                for k in range(count):
                    crop = random_crop(image, regions, rng, sizes.image_size)
                    save(crop, inside / f"{number:05d}-{split}-{k:04d}.jpg")
            number += 1
