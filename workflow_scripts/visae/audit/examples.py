"""Examples of an SAE's features: the images that each responds to most, and where (Appendix H).

One file per SAE, described in `docs/formats.md`; `visae.audit.patch_maps` computes what it holds.
"""

import h5py
import numpy as np

from visae.base import hdf5
from visae.base.errors import UserError
from visae.base.files import atomic_path

FORMAT = "visae-examples-1"


def write_examples(path, examples, attributes):
    """Write {kind: example} to `path`; attributes: of the whole file (backbone, SAE, split, …).

    An example is {`feature` (index), `moran` (its mean Moran's I), `image_ids` (n of str), `maps`
    float32 [n, H, W], `images` uint8 [n, S, S, 3]}, the images from the largest code downwards.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"format": FORMAT, **attributes})
        for kind, example in examples.items():
            group = file.create_group(kind)
            group.attrs["feature"], group.attrs["moran"] = example["feature"], example["moran"]
            image_ids = np.array(example["image_ids"], object)
            group.create_dataset("image_ids", data=image_ids, dtype=hdf5.STRING)
            group["maps"], group["images"] = example["maps"], example["images"]


def read_examples(path):
    """(attributes, {kind: example}) of a file that `write_examples` wrote.

    Raises UserError when it is missing, damaged or of another format.
    """
    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
            if attributes.pop("format", None) != FORMAT:
                raise OSError(f"its format is not {FORMAT}")
            return attributes, {kind: _example(group) for kind, group in file.items()}
    except (OSError, KeyError) as error:
        raise UserError(
            f"{path} holds no examples of features ({error}): remove it and run the workflow again"
        ) from error


def _example(group):
    return {
        "feature": int(group.attrs["feature"]),
        "moran": float(group.attrs["moran"]),
        "image_ids": group["image_ids"].asstr()[:].tolist(),
        "maps": group["maps"][:],
        "images": group["images"][:],
    }
