"""Which feature tells a class best: by codes on training images or patches.

The point-biserial correlation of a feature's code with "is of the class", of each class and
feature. It orders features as the ANOVA F of one class against the rest does, but a feature that
is silent on the class is no feature of it.
"""

from __future__ import annotations

import numpy as np
import torch

from visae.base.arrays import Bool, Float, Int

_ROWS = 2048  # that are widened to float64 at once

_CONSTANT = 1e-6
"""Standard deviation, by the root mean square, of a column that is the same everywhere."""


class ClassSums:
    """Sums over rows, by class: of codes, or of activations. Rows come in blocks."""

    def __init__(self, classes: int, width: int, device: str | torch.device = "cpu"):
        sizes = {"dtype": torch.float64, "device": device}
        self._sums_cw = torch.zeros(classes, width, **sizes)
        self._squares_w = torch.zeros(width, **sizes)
        self._fires_w = torch.zeros(width, dtype=torch.bool, device=device)
        self._counts_c = torch.zeros(classes, **sizes)

    def add(self, rows_nw: Float[torch.Tensor, "n W"], labels_n: Int[torch.Tensor, " n"]) -> None:
        """Add rows with their classes; rows of negative class are left out."""
        for some_nw, of_some_n in zip(rows_nw.split(_ROWS), labels_n.split(_ROWS), strict=True):
            labelled_n = of_some_n >= 0
            some_nw, of_some_n = some_nw[labelled_n].double(), of_some_n[labelled_n]
            self._sums_cw.index_add_(0, of_some_n, some_nw)
            self._squares_w += some_nw.square().sum(dim=0)
            self._fires_w |= (some_nw != 0).any(dim=0)
            self._counts_c += torch.bincount(of_some_n, minlength=len(self._counts_c))

    @property
    def counts(self) -> Int[np.ndarray, " C"]:
        """Rows of each class: int64 [C]."""
        return self._counts_c.long().cpu().numpy()

    @property
    def live(self) -> Bool[np.ndarray, " W"]:
        """Columns that are not 0 in some row."""
        return self._fires_w.cpu().numpy()

    def means(self, label: int) -> tuple[Float[torch.Tensor, " W"], Float[torch.Tensor, " W"]]:
        """The mean row of a class and that of all others: float64 [W]. Both have rows."""
        count, total_w = self._counts_c[label], self._sums_cw.sum(dim=0)
        others = self._counts_c.sum() - count
        return self._sums_cw[label] / count, (total_w - self._sums_cw[label]) / others

    def correlations(self) -> Float[np.ndarray, "C W"]:
        """Point-biserial correlations, float64 [C, W]; NaN of columns that are the same everywhere,
        such as dead ones, and of empty classes.
        """
        total, counts_c = self._counts_c.sum(), self._counts_c[:, None]
        mean_w = self._sums_cw.sum(dim=0) / total
        square_w = self._squares_w / total
        variance_w = square_w - mean_w**2
        share_c = counts_c / total
        # cov(code, is of the class) / (sd(code) · sd(is of the class))
        covariance_cw = self._sums_cw / total - share_c * mean_w
        found_cw = covariance_cw / (variance_w * share_c * (1 - share_c)).sqrt()
        found_cw[:, variance_w <= _CONSTANT**2 * square_w] = torch.nan
        return torch.where(found_cw.isfinite(), found_cw, torch.nan).cpu().numpy()


def best_feature(correlations_f: Float[np.ndarray, " F"]) -> int | None:
    """The feature that tells a class best, the first of equal ones; None where none tells it."""
    known_f = np.where(np.isnan(correlations_f), 0, correlations_f)
    best = int(known_f.argmax())
    return best if known_f[best] > 0 else None
