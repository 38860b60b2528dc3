"""Image retrieval R@1, R@5, R@10: exact, cosine, a hit is another image of the same class.

Images are queries and gallery at once; a query is never its own result. R@k asks only whether
an image of the query's class is among the k most similar. It is if fewer than k images of other
classes precede the nearest of its own. So nothing is sorted, and only a block of queries × images
is ever in memory. Paper: section 4.5 (H3), Appendix O.

Ties: similarities closer than `TIE` count as equal, and of equally similar images those of
other classes come first. A tie so earns no hit, and the order of the images has no influence.
An image without any positive feature (all codes 0) has similarity 0 with every other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse

from visae.base.arrays import Bool, Float, Int
from visae.base.errors import UserError
from visae.base.progress import counted
from visae.evals.results import Result
from visae.evals.sparse_codes import inner_products, read_codes

CUTOFFS = (1, 5, 10)
TIE = 1e-6
"""Above the rounding of a cosine in float32 (about 1e-7)."""

_BLOCK_BYTES = 64 * 2**20


def compute(inputs, settings, job):
    """Results of raw features, or of an SAE's reconstructions and codes."""
    held_out = inputs.held_out()
    if inputs.of_raw:
        labels = inputs.raw().labels[held_out]
        return {"raw": retrieve(inputs.features_max()[held_out], labels, job.device)}
    encoded = inputs.encoded()
    return {
        "reconstructed": retrieve(
            encoded.reconstructions_max()[held_out], encoded.labels[held_out], job.device
        ),
        "codes": retrieve_by_codes(
            encoded.codes, encoded.labels, held_out, job.device, job.threads
        ),
    }


def retrieve(
    features_nd: Float[np.ndarray, "n D"], labels: Int[np.ndarray, " m"], device: str = "cpu"
) -> Result:
    """Result of retrieval with dense features [n, D] (raw or reconstructed) and int labels [n].

    All n images are queries and gallery; select the held-out ones before.
    Raises UserError for features that are not finite and images without a label.
    """
    import torch

    norms = np.linalg.norm(features_nd.astype(np.float64), axis=1)
    _check(norms, labels)
    unit_nd = torch.from_numpy((features_nd / _divisor(norms)[:, None]).astype(np.float32))
    unit_nd = unit_nd.to(device)
    return _outcome(lambda queries: unit_nd[queries] @ unit_nd.T, norms, labels, device)


def retrieve_by_codes(
    codes_fn: Any,
    labels: Int[np.ndarray, " N"],
    images: Bool[np.ndarray, " N"] | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> Result:
    """Result of retrieval with max-pooled codes.

    codes_fn: [F, N], array or in an open file. labels: int [N]. images: bool [N], those to use
    (the held-out ones; None: all). Memory: 8 bytes per active code of these images.
    """
    import torch

    labels = labels if images is None else labels[images]
    codes_fn = read_codes(codes_fn, images)
    norms = np.asarray(np.sqrt(codes_fn.multiply(codes_fn).astype(np.float64).sum(axis=0))).ravel()
    _check(norms, labels)
    scale = scipy.sparse.diags((1 / _divisor(norms)).astype(np.float32))
    unit_fn = scipy.sparse.csr_matrix(codes_fn @ scale)

    def similarities(queries):
        products = inner_products(unit_fn[:, queries], unit_fn, device, threads)
        return torch.from_numpy(products).to(device)

    return _outcome(similarities, norms, labels, device)


def _outcome(similarities, norms, labels, device):
    """The Result, given similarities(queries) → tensor [q, n] for an index array `queries`."""
    labels = np.asarray(labels)
    _, class_of_image, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    eligible = np.flatnonzero(sizes[class_of_image] > 1)
    data = {
        "images": labels.size,
        "queries": eligible.size,
        "images_alone_in_class": labels.size - eligible.size,
        "images_without_features": int((norms == 0).sum()),
        "classes": sizes.size,
    }
    reason, recalls = None, dict.fromkeys(CUTOFFS)
    if eligible.size:
        ahead = _others_ahead(similarities, eligible, class_of_image, device)
        recalls = {k: float(np.mean(ahead < k)) for k in CUTOFFS}
    else:
        reason = f"none of the {labels.size} held-out images shares its class with another"
    return Result(
        value=recalls[1],
        reason=reason,
        readings={f"recall_at_{k}": recall for k, recall in recalls.items()},
        details={"similarity": "cosine", "ties": "other classes first", "tie_tolerance": TIE},
        data=data,
    )


def _others_ahead(similarities, eligible, class_of_image, device):
    """Per query: how many images of other classes are at least as similar as its nearest own."""
    import torch

    classes = torch.from_numpy(class_of_image).to(device)
    step = max(1, _BLOCK_BYTES // (4 * classes.numel()))
    ahead = []
    starts = range(0, eligible.size, step)
    for start in counted(starts, "blocks of queries compared", len(starts)):
        queries = eligible[start : start + step]
        similarity_qn = similarities(queries)
        rows = torch.from_numpy(queries).to(device)
        own_qn = classes[rows][:, None] == classes
        similarity_qn[torch.arange(rows.numel(), device=device), rows] = -torch.inf
        nearest_own = similarity_qn.masked_fill(~own_qn, -torch.inf).amax(dim=1, keepdim=True)
        before_qn = (similarity_qn >= nearest_own - TIE) & ~own_qn
        ahead.append(before_qn.sum(dim=1).cpu().numpy())
    return np.concatenate(ahead)


def _check(norms, labels):
    if len(norms) != len(labels):
        raise UserError(
            f"retrieval has features of {len(norms)} images and labels of {len(labels)}: both must "
            "come from the same reductions"
        )
    if not np.isfinite(norms).all():
        raise UserError(
            f"retrieval: the features of image {int(np.argmin(np.isfinite(norms)))} are NaN or "
            "infinite; write the reductions again"
        )
    if (np.asarray(labels) < 0).any():
        raise UserError(
            "retrieval needs a class for every image, but some have none: choose an evaluation "
            "split with labels"
        )


def _divisor(norms):
    """The norms, with 1 for images whose features are all 0."""
    return np.where(norms > 0, norms, 1.0)
