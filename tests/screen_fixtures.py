"""Rows that attack the bound of the screened product, and what a product of them keeps."""

import numpy as np
import torch

WIDTH, TOKENS, FEATURES = 64, 37, 41


def heavy_tails(random, shape):
    return random.standard_t(1.5, shape)


def outlier_channels(random, shape):
    rows = random.normal(size=shape)
    rows[:, random.choice(shape[1], 3, replace=False)] *= 1000
    return rows


def all_norms(random, shape):
    return random.normal(size=shape) * 10.0 ** random.uniform(-12, 12, (shape[0], 1))


def ties(random, shape):
    """Few different rows of few different numbers, zeros among them."""
    return random.integers(-2, 3, (4, shape[1]))[random.integers(0, 4, shape[0])] / 4


def tiny(random, shape):
    """Around the smallest float32 numbers there are."""
    return random.normal(size=shape) * 10.0 ** random.uniform(-44, -36, (shape[0], 1))


def wide(random, shape):
    """Numbers of all sizes within a row: most are nothing beside the largest."""
    return random.normal(size=shape) * 10.0 ** random.uniform(-12, 0, shape)


def odd(random, shape):
    """Some rows without a bound."""
    rows = random.normal(size=shape)
    for row, value in enumerate((np.nan, np.inf, -np.inf, 3e38, 2.0**55)):
        rows[row, row] = value
    return rows


KINDS = (heavy_tails, outlier_channels, all_norms, ties, tiny, wide, odd)


def rows(kind, random, count):
    return torch.from_numpy(kind(random, (count, WIDTH)).astype(np.float32))
