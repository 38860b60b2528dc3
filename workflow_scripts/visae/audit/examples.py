"""Examples of an SAE's features: the images that each responds to most, and where (Appendix H).

One file per SAE, described in `docs/formats.md`; `visae.audit.patch_maps` computes what it holds.
"""

import h5py
import numpy as np

from visae.base import hdf5
from visae.base.declared import Array, check_arrays
from visae.base.files import atomic_path
from visae.base.reading import guarded
from visae.base.seals import LIBVER, made_of, open_hdf5, seal_hdf5

FORMAT = "visae-examples-3"


def write_examples(path, examples, attributes, inputs=()):
    """Write {kind: example} to `path`; attributes: of the whole file (backbone, SAE, split, …).

    inputs: the files that they were made of.

    An example is {`feature` (index), `moran` (its mean Moran's I), `image_ids` (n of str), `maps`
    float32 [n, H, W], `images` uint8 [n, h, w, 3]}, the images from the largest code downwards.
    """
    origin = made_of(path, inputs)
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=LIBVER) as file:
        hdf5.write_attributes(file, attributes)
        for kind, example in examples.items():
            group = file.create_group(kind)
            group.attrs["feature"], group.attrs["moran"] = example["feature"], example["moran"]
            hdf5.write_strings(group, "image_ids", example["image_ids"])
            group["maps"], group["images"] = example["maps"], example["images"]
        seal_hdf5(file, path, FORMAT, origin)


def read_examples(path):
    """(attributes, {kind: example}) of a file that `write_examples` wrote.

    Raises UserError when it is missing, damaged or of another format.
    """
    with open_hdf5(path, FORMAT) as file, guarded(path, "examples of features"):
        attributes = {
            name: hdf5.text(value) if isinstance(value, bytes) else value
            for name, value in hdf5.attributes(file).items()
        }
        return attributes, {kind: _example(file[kind]) for kind in file}


def _example(group):
    image_ids = hdf5.strings(group, "image_ids")
    found = {name: hdf5.array(group, name) for name in ARRAYS}
    found |= {name: np.asarray(group.attrs[name]) for name in ATTRIBUTES}
    check_arrays(ARRAYS | ATTRIBUTES, found, n=len(image_ids))
    (_, rows, columns), (_, height, width, _) = found["maps"].shape, found["images"].shape
    if height * columns != width * rows:
        raise ValueError("its patches are no squares of its images")
    return {
        "feature": int(found["feature"]),
        "moran": float(found["moran"]),
        "image_ids": image_ids,
        "maps": found["maps"],
        "images": found["images"],
    }


ARRAYS = {"maps": Array("float32", "n H W"), "images": Array("uint8", "n h w 3")}
ATTRIBUTES = {"feature": Array("int64", "", least=0), "moran": Array("float64", "")}
