"""All max-pooled codes of many images as a sparse matrix, and inner products of images.

A pooled code is active on some per cent of the images. Below about a tenth, products that visit
active codes only are faster than dense ones (5 times at 5 %); above, and on CUDA, dense blocks
of features are. Either way no dense copy of all codes is made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse

from visae.base.arrays import Bool, Float
from visae.base.compiled import njit
from visae.base.pools import in_pieces
from visae.probing.rankings import feature_blocks

DENSE_ADVANTAGE = 64
"""Multiplications of a dense product in the time of one that looks up its partner (one core)."""

_FEATURES = 256


def read_codes(
    codes_fn: Any, images: Bool[np.ndarray, " N"] | None = None
) -> scipy.sparse.csr_matrix:
    """The codes [F, n] of `images` (bool [N]; None: all) as a float32 CSR matrix.

    codes_fn: [F, N], array or in an open file, read in blocks of features. Memory: 8 bytes per
    active code.
    """
    columns = slice(None) if images is None else np.flatnonzero(images)
    blocks = [
        scipy.sparse.csr_matrix(block[:, columns].astype(np.float32))
        for _, block in feature_blocks(codes_fn)
    ]
    return scipy.sparse.csr_matrix(scipy.sparse.vstack(blocks))


def inner_products(
    left_fq: Any,
    right_fn: Any,
    device: str = "cpu",
    threads: int = 1,
) -> Float[np.ndarray, "q n"]:
    """Inner products [q, n] of images, float32: left_fqᵀ · right_fn, both CSR over features."""
    active = np.diff(left_fq.indptr) * np.diff(right_fn.indptr).astype(np.float64)
    dense = float(np.prod(left_fq.shape, dtype=np.float64)) * right_fn.shape[1]
    if device == "cpu" and active.sum() * DENSE_ADVANTAGE < dense:
        return _sparse_products(left_fq, right_fn, threads)
    return _dense_products(left_fq, right_fn, device)


def _sparse_products(left_fq, right_fn, threads):
    rows_qf = left_fq.T.tocsr()
    # Sums of thousands of terms, one by one, would lose digits in float32.
    products_qn = np.zeros((left_fq.shape[1], right_fn.shape[1]))
    in_pieces(
        _accumulate,
        len(products_qn),
        threads,
        *(rows_qf.indptr, rows_qf.indices, rows_qf.data),
        *(right_fn.indptr, right_fn.indices, right_fn.data),
        products_qn,
    )
    return products_qn.astype(np.float32)


@njit(nogil=True, cache=True)
def _accumulate(
    start, stop, row_starts, features, codes, feature_starts, images, image_codes, products_qn
):
    """Rows start … stop of the products, code by code through the images that share a feature."""
    for row in range(start, stop):
        products_n = products_qn[row]
        for entry in range(row_starts[row], row_starts[row + 1]):
            feature, code = features[entry], codes[entry]
            for other in range(feature_starts[feature], feature_starts[feature + 1]):
                products_n[images[other]] += code * image_codes[other]


def _dense_products(left_fq, right_fn, device):
    import torch

    products_qn = torch.zeros(left_fq.shape[1], right_fn.shape[1], device=device)
    for start in range(0, left_fq.shape[0], _FEATURES):
        block = slice(start, start + _FEATURES)
        left, right = (
            torch.from_numpy(codes[block].toarray()).to(device) for codes in (left_fq, right_fn)
        )
        products_qn.addmm_(left.T, right)
    return products_qn.cpu().numpy()
