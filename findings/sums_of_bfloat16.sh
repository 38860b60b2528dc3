#!/usr/bin/env bash
# Versions: torch 2.13.0 and 2.15.0 on the CPU, numpy 2.4.6; Python 3.11 or newer. This runs 2.13.0.
#
# Data: a thousand ones in bfloat16, which belong to one place: a feature's codes, or a token's active features.
#
# Guess: each way to sum them adds in float32 and rounds once, as `sum` and products of matrices do. It gives 1000.
# Seen: `scatter_add`, `cumsum` and `embedding_bag` give 1000. `index_add`, `index_put`, `segment_reduce`, `coalesce` and
#   `sparse.mm` give 256: they add in bfloat16, where 256 + 1 is 256. Nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from torch.nn.functional import embedding_bag

print("torch", torch.__version__)
ones = torch.ones(1000, dtype=torch.bfloat16)
place = torch.zeros(1000, dtype=torch.long)
zero = torch.zeros(1, dtype=torch.bfloat16)
row = torch.sparse_coo_tensor(torch.stack([place, torch.arange(1000)]), ones, (1, 1000))
sums = {
    "sum": ones.sum(),
    "product": ones[None] @ ones[:, None],
    "cumsum": ones.cumsum(0)[-1],
    "scatter_add": zero.scatter_add(0, place, ones),
    "embedding_bag": embedding_bag(place, ones[:1, None], torch.tensor([0]), mode="sum"),
    "index_add": zero.index_add(0, place, ones),
    "index_put": zero.index_put((place,), ones, accumulate=True),
    "segment_reduce": torch.segment_reduce(ones, "sum", lengths=torch.tensor([1000])),
    "coalesce": torch.sparse_coo_tensor(place[None], ones, (1,)).coalesce().values(),
    "sparse.mm": torch.sparse.mm(row, ones[:, None]),
}
for name, value in sums.items():
    print(f"{name:16} {value.item():g}")
assert [value.item() for value in sums.values()] == [1000] * 5 + [256] * 5
PYTHON
echo "as stated"
