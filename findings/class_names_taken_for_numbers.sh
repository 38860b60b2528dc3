#!/usr/bin/env bash
# Versions: datasets 5.2.0; Python 3.11 or newer.
#
# Data: columns of texts that are made class labels, with the classes cat, dog and bird.
#
# Guess: a text that is none of the names is refused, as "cow" is.
# Seen: "1" becomes dog and "2" bird: what is no name is read as a class's number. " dog " is dog, and "7" is refused.
#   With the classes 5, 3 and 1, the text "3" is the second class, and "2" the third, whose name is "1".
#   The number 3 stays 3, a class beyond the last. Nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check datasets==5.2.0
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import datasets

print("datasets", datasets.__version__)
datasets.disable_progress_bars()


def label(names, value):
    """The number that the value gets, or None where it is refused."""
    table = datasets.Dataset.from_dict({"label": [value]})
    try:
        return table.cast_column("label", datasets.ClassLabel(names=names))["label"][0]
    except ValueError:
        return None


animals, digits = ["cat", "dog", "bird"], ["5", "3", "1"]
of_animals = {value: label(animals, value) for value in ("dog", "cow", "1", "2", " dog ", "7")}
of_digits = {value: label(digits, value) for value in ("3", 3, "2", "7")}
print("cat, dog, bird:", of_animals)
print("5, 3, 1:       ", of_digits)
assert of_animals == {"dog": 1, "cow": None, "1": 1, "2": 2, " dog ": 1, "7": None}
assert of_digits == {"3": 1, 3: 3, "2": 2, "7": None}
PYTHON
echo "as stated"
