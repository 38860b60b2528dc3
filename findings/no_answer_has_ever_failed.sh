#!/usr/bin/env bash
# Versions: eai-delphi 0.1.3, torch 2.15.0, pandas 3.1.1, plotly 7.1.0, scikit-learn 1.9.1, numpy 2.4.6;
# Python 3.11 or newer. Of Delphi only its summary of scores is run, which needs no language model.
#
# Data: answers of a judge on 100 examples, half of them active. 40 answers are right. 60 could not be read, and are
# stored with a prediction of None, as Delphi's scorers do it.
#
# Guess: `failed_count` is 60. "Average fraction of failed examples" in the report, made from it, is 0.6.
# Seen: it is 0, as it always is: failed answers are taken out, and are then counted as what is left minus what is left.
#   Accuracy and F1 are 1.0, of 40 examples. `total_examples` says 40. A judge that answers in another form looks
#   as good as one that answers. Nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  torch==2.15.0 pandas==3.1.1 plotly==7.1.0 scikit-learn==1.9.1 orjson==3.13.0 numpy==2.4.6
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps eai-delphi==0.1.3
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import pandas as pd
from delphi.log.result_analysis import get_agg_metrics

print("eai-delphi", version("eai-delphi"), "pandas", pd.__version__)
active = [number % 2 == 0 for number in range(100)]
scores = pd.DataFrame({"score_type": "detection", "module": "layer", "latent_idx": 0, "activating": active})


def summary(readable):
    """Of answers that are right, of which the first ones can be read."""
    answers = pd.Series(
        [value if number < readable else None for number, value in enumerate(active)], dtype=object
    )
    (row,) = get_agg_metrics(scores.assign(prediction=answers, probability=None), None).to_dict("records")
    return {name: row[name] for name in ("failed_count", "total_examples", "accuracy", "f1_score")}


for readable in (100, 40, 2):
    found = summary(readable)
    print(f"{100 - readable} of 100 answers failed:", found)
    assert found == {"failed_count": 0, "total_examples": readable, "accuracy": 1, "f1_score": 1}
PYTHON
echo "as stated"
