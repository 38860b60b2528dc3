"""As a saved Hugging Face data set: scikit-image's 100 faces and 100 patches of backgrounds.

The patches (25 × 25 pixels, grey) come from Labeled Faces in the Wild.
"""

import io
import json

import numpy as np
from PIL import Image

from visae.base.errors import UserError
from visae.images.demo_data.crops import package_file, save

_NAMES = ("face", "background")
_FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": list(_NAMES), "_type": "ClassLabel"},
}


def write(folder, rng, sizes):
    """Write `train/` and `test/` into `folder`, each as `datasets.Dataset.save_to_disk` does."""
    patches = np.load(package_file("skimage", "data/lfw_subset.npy"))
    per_class = len(patches) // len(_NAMES)
    counts = {"train": sizes.faces_train, "test": sizes.faces_test}
    if sum(counts.values()) > per_class:
        raise UserError(
            f"The demo has {per_class} patches of each class and {sum(counts.values())} are asked "
            "for: lower faces_train or faces_test."
        )
    rows = {split: [] for split in counts}
    for label in range(len(_NAMES)):
        chosen = iter(rng.permutation(per_class) + label * per_class)
        for split, count in counts.items():
            for _ in range(count):
                content = _jpeg(patches[next(chosen)], sizes.image_size)
                rows[split].append({"image": {"bytes": content, "path": None}, "label": label})
    for split in counts:
        (folder / split).mkdir()
        _save(folder / split, rows[split])


def _jpeg(patch, size):
    image = Image.fromarray((patch * 255).astype(np.uint8))
    buffer = io.BytesIO()
    save(image.resize((size, size), Image.Resampling.BICUBIC), buffer)
    return buffer.getvalue()


def _save(folder, rows):
    import pyarrow

    name = "data-00000-of-00001.arrow"
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema([("image", image), ("label", pyarrow.int64())])
    with pyarrow.ipc.new_stream(str(folder / name), schema) as writer:
        writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
    (folder / "dataset_info.json").write_text(json.dumps({"features": _FEATURES}))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
