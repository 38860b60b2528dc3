#!/usr/bin/env bash
# Versions: datasets 5.2.0, Pillow 13.0.0; Python 3.11 or newer.
#
# Data: an ImageFolder of two classes, three pictures each. One class folder also has a metadata.csv
# that names two of its three pictures.
#
# Guess: pictures without a row come with an empty note, or loading fails (older releases said that
#   an image has no metadata). The labels of the folders stay.
# Seen: two of the six pictures are loaded, without a message. A picture that no metadata file names
#   is left out, also in the other class, which has no metadata file at all; the label column is gone.
# drop_labels=False changes nothing. drop_metadata=True brings the pictures back, without labels; both
#   options together do no more. Labels come back when the metadata file is taken away.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  datasets==5.2.0 pillow==13.0.0
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 IMAGES="$folder/images" "$folder/venv/bin/python" - <<'PYTHON'
import os
from pathlib import Path

import datasets
from PIL import Image

print("datasets", datasets.__version__)
datasets.disable_progress_bars()
root = Path(os.environ["IMAGES"])
for name in ("cat", "dog"):
    (root / name).mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(root / name / f"{number}.png")


def loaded(**options):
    table = datasets.load_dataset("imagefolder", data_dir=str(root), split="train", **options)
    return len(table), sorted(table.column_names)


print("without metadata:        ", plain := loaded())
(root / "cat" / "metadata.csv").write_text("file_name,note\n0.png,first\n1.png,second\n")
print("one class has a file:    ", given := loaded())
print("drop_labels=False:       ", labelled := loaded(drop_labels=False))
print("drop_metadata=True:      ", without := loaded(drop_metadata=True))
print("both:                    ", both := loaded(drop_metadata=True, drop_labels=False))
assert plain == (6, ["image", "label"])
assert given == (2, ["image", "note"])
assert labelled == (2, ["image", "note"])
assert without == (6, ["image"])
assert both == (6, ["image"])
PYTHON
echo "as stated"
