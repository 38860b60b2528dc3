"""Writes the data sets beside it with the real libraries: datasets 5.2.0 and webdataset 1.0.2.

Run in an environment that has both: `HF_HOME=$(mktemp -d) python write.py`.
"""

import io
import shutil
import sys
from pathlib import Path

import numpy as np
import webdataset
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, load_dataset
from PIL import Image as Pillow

HERE = Path(__file__).parent
NAMES = ["cat", "dog", "elk"]
README = """---
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': cat
          '1': dog
          '2': elk
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: validation
    path: data/validation-*
---
"""


def picture(number):
    """A PNG whose pixels are known: 4 × 3, all of them (number, 2 · number, 255 − number)."""
    content = io.BytesIO()
    colour = (number, 2 * number, 255 - number)
    Pillow.fromarray(np.full((3, 4, 3), colour, np.uint8)).save(content, "PNG")
    return content.getvalue()


def main():
    for old in ("saved", "hub", "cache", "webdataset"):
        shutil.rmtree(HERE / old, ignore_errors=True)
    features = Features({"image": Image(), "label": ClassLabel(names=NAMES)})
    parts = {"train": range(5), "validation": range(5, 8)}
    saved = DatasetDict(
        {
            split: Dataset.from_list(
                [
                    {"image": {"bytes": picture(n), "path": f"{n}.png"}, "label": n % 3}
                    for n in numbers
                ],
                features=features,
            )
            for split, numbers in parts.items()
        }
    )
    saved.save_to_disk(HERE / "saved", num_shards={"train": 2, "validation": 1})
    (HERE / "hub/data").mkdir(parents=True)
    (HERE / "hub/README.md").write_text(README)
    (HERE / "webdataset").mkdir()
    for split, numbers in parts.items():
        for shard in range(2):
            name = f"{split}-{shard:05d}-of-00002.parquet"
            saved[split].shard(2, shard, contiguous=True).to_parquet(HERE / "hub/data" / name)
        pattern = f"file:{HERE}/webdataset/few-{split}-%06d.tar"
        with webdataset.ShardWriter(pattern, maxcount=3) as writer:
            for n in numbers:
                writer.write({"__key__": f"{n:04d}", "png": picture(n), "cls": n % 3})
    prepared = load_dataset(str(HERE / "hub"), cache_dir=str(HERE / "cache"))
    sys.stdout.write(f"{prepared}\n")
    for lock in HERE.rglob("*.lock"):
        lock.unlink()


main()
