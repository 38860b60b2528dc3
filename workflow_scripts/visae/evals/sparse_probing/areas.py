"""Areas under the accuracies of probes on more and more features."""

from collections.abc import Sequence

import numpy as np


def area_over_log_budget(budgets: Sequence[int], accuracy: Sequence[float | None]) -> float | None:
    """Area under accuracy against log2 k (trapezoids) / the range of log2 k: a mean accuracy.

    None with a single budget or without accuracies.
    """
    known = [share for share in accuracy if share is not None]
    if len(budgets) < 2 or len(known) < len(budgets):
        return None
    log_budgets = np.log2(budgets)
    return float(np.trapezoid(known, log_budgets) / (log_budgets[-1] - log_budgets[0]))


def area_over_budget(budgets: Sequence[int], accuracy: Sequence[float | None]) -> float | None:
    """Area under accuracy against k (trapezoids) / the range of k: the reading `as_run`.

    The widest step has the most weight: of budgets that double, the last has half of it. None
    with a single budget or without accuracies.
    """
    known = [share for share in accuracy if share is not None]
    if len(budgets) < 2 or len(known) < len(budgets):
        return None
    return float(np.trapezoid(known, budgets) / (budgets[-1] - budgets[0]))
