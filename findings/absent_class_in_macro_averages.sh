#!/usr/bin/env bash
# Versions: torchmetrics 1.9.0, torch 2.15.0, scikit-learn 1.9.1; Python 3.11 or newer.
#
# Data: four images, three classes, two of them among the images; both are told apart without an
# error. A class without a test image is common in small or subsampled splits.
#
# Guess: the class is left out of every macro average (all 1.0), as average precision does it.
# Seen: the area under the ROC curve counts it as 0: macro 0.667, per class [1, 1, 0]. Average
#   precision leaves it out: macro 1.0, per class [1, 1, nan]. F1 and accuracy leave it out as well.
#   Adding a class that nobody has lowers the mean area of a perfect probe by a third.
# A warning says that "true positive value should be meaningless", not that 0 enters the mean.
# scikit-learn's roc_auc_score, one against the rest with all three labels named, gives nan for the
#   same input.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  torchmetrics==1.9.0 torch==2.15.0 scikit-learn==1.9.1
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sklearn
import torch
import torchmetrics
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_average_precision,
    multiclass_f1_score,
)

print("torchmetrics", torchmetrics.__version__, "scikit-learn", sklearn.__version__)
scores = torch.tensor([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]])
labels = torch.tensor([0, 0, 1, 1])
macro = {
    measure.__name__: round(measure(scores, labels, num_classes=3, average="macro").item(), 3)
    for measure in (
        multiclass_auroc,
        multiclass_average_precision,
        multiclass_f1_score,
        multiclass_accuracy,
    )
}
print(macro)
each = multiclass_auroc(scores, labels, num_classes=3, average=None).tolist()
print("area of each class:", each)
others = roc_auc_score(labels, scores, multi_class="ovr", labels=[0, 1, 2])
print("scikit-learn:", others)
assert macro == {
    "multiclass_auroc": 0.667,
    "multiclass_average_precision": 1.0,
    "multiclass_f1_score": 1.0,
    "multiclass_accuracy": 1.0,
}
assert each == [1.0, 1.0, 0.0]
assert others != others
PYTHON
echo "as stated"
