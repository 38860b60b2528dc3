"""Linear heads fitted to more rows than fit into memory: Adam on blocks of rows.

Rows are dense (NumPy [n, D]) or sparse (CSR [n, F]); they come in blocks, a few of which are
loaded and shuffled together at a time. Sparse rows meet the weights code by code, so that no
dense row of codes is made. Several heads that read the same rows in different ways are fitted
to the same batches.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import torch

from visae.base.errors import UserError
from visae.base.progress import Count
from visae.images.index import UNLABELLED
from visae.sae.adam import Adam

BLOCKS_TOGETHER = 4


@dataclass(frozen=True)
class HeadSettings:
    """Adam from zero weights: learning rate, batch and weight decay of the paper's GPU probes.

    Appendix L gives these for image features; the paper says nothing of its segmentation head.
    The step size falls linearly to 0, so that the last batches do not decide the result.
    """

    epochs: int = 10
    batch: int = 2048
    learning_rate: float = 1e-2
    weight_decay: float = 1e-4


class SparseRows:
    """CSR rows [n, F] on a device."""

    def __init__(self, rows_nf, device):
        self._starts = torch.from_numpy(rows_nf.indptr[:-1].astype(np.int32)).to(device)
        self._features = torch.from_numpy(rows_nf.indices.astype(np.int32)).to(device)
        self._values = torch.from_numpy(rows_nf.data).to(device)

    def __matmul__(self, matrix_fc):
        return torch.nn.functional.embedding_bag(
            self._features, matrix_fc, self._starts, mode="sum", per_sample_weights=self._values
        )


class LinearHead(torch.nn.Module):
    """logits = rows · weight + bias."""

    def __init__(self, inputs, classes):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(inputs, classes))
        self.bias = torch.nn.Parameter(torch.zeros(classes))

    def forward(self, rows):
        """Logits [n, C] of a tensor [n, inputs] or `SparseRows`."""
        return rows @ self.weight + self.bias


def fit_heads(blocks, views, classes, settings, seed=42, device="cpu"):
    """Fit one `LinearHead` per view: representation → head.

    blocks: has `labels` (int arrays, one per block) and `load(number)` → the rows of that block
    whose label is not `UNLABELLED`. views: representation → (inputs, function
    of a batch of rows on the device that gives the head's input).
    Raises UserError without any labelled row.
    """
    rows_left = settings.epochs * sum(int((labels != UNLABELLED).sum()) for labels in blocks.labels)
    if not rows_left:
        raise UserError("a linear head needs labelled training rows, there are none: check labels")
    heads = {name: LinearHead(inputs, classes).to(device) for name, (inputs, _) in views.items()}
    parameters = [p for head in heads.values() for p in head.parameters()]
    optimizer = Adam(parameters, settings.learning_rate, settings.weight_decay)
    rows_total = rows_left
    count = Count("patches shown to heads", rows_total)
    random = np.random.default_rng(seed)
    for _ in range(settings.epochs):
        order = random.permutation(len(blocks.labels))
        for first in range(0, len(order), BLOCKS_TOGETHER):
            rows, targets = _together(blocks, order[first : first + BLOCKS_TOGETHER])
            batches = max(1, round(len(targets) / settings.batch))
            for chosen in np.array_split(random.permutation(len(targets)), batches):
                optimizer.learning_rate = settings.learning_rate * rows_left / rows_total
                _step(heads, views, rows[chosen], targets[chosen], optimizer, device)
                rows_left -= len(chosen)
                count(len(chosen))
    return heads


def predictions(blocks, heads, views, batch=4096, device="cpu"):
    """Yield (targets [n], representation → predicted class [n]) over all labelled rows."""
    for number in range(len(blocks.labels)):
        rows, targets = _together(blocks, [number])
        for start in range(0, len(targets), batch):
            inputs = _on_device(rows[start : start + batch], device)
            with torch.no_grad():
                predicted = {
                    name: head(views[name][1](inputs)).argmax(dim=1).cpu().numpy()
                    for name, head in heads.items()
                }
            yield targets[start : start + batch], predicted


def _together(blocks, numbers) -> tuple[Any, np.ndarray]:
    """The labelled rows of some blocks, and their labels."""
    parts = [blocks.load(number) for number in numbers]
    stack = scipy.sparse.vstack if scipy.sparse.issparse(parts[0]) else np.concatenate
    labels = np.concatenate([blocks.labels[number] for number in numbers])
    return (stack(parts) if len(parts) > 1 else parts[0]), labels[labels != UNLABELLED]


def _step(heads, views, rows, targets, optimizer, device):
    inputs = _on_device(rows, device)
    targets = torch.from_numpy(targets.astype(np.int64)).to(device)
    optimizer.clear_gradients()
    for name, head in heads.items():
        # Each loss has its own head's parameters only.
        torch.nn.functional.cross_entropy(head(views[name][1](inputs)), targets).backward()
    optimizer.step()


def _on_device(rows, device):
    if scipy.sparse.issparse(rows):
        return SparseRows(rows, device)
    return torch.from_numpy(np.ascontiguousarray(rows)).to(device)
