"""Hugging Face data sets, in the three forms in which they lie on disks."""

from typing import NamedTuple

SOURCE = "https://huggingface.co/datasets, by load_dataset(…).save_to_disk(…) or `hf download`"


class File(NamedTuple):
    """A file of rows: path below the root, beginning of its images' ids, its columns' features.

    Features are as `datasets` describes them: name → {"_type": "Image"} and so on.
    """

    path: str
    prefix: str
    features: dict
