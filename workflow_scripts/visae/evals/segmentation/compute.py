"""Semantic segmentation mIoU of a linear head on single patches (ADE20K; H1, Appendix O).

A patch's label is the most frequent mask value of its pixels, after the resize and crop that
its image went through (nearest neighbour instead of interpolation). Of equally frequent values
the lowest wins: unlabelled before any class, then the lowest class id. Patches whose value is
unlabelled are left out of training and of the score. The score is at the resolution of patches.

In the control arm `token_order: permuted` labels stay in raster order: the arm shows what is
left when a reader takes shuffled tokens for a map.

Codes exist for a few images at a time, as sparse rows; those that fit into `memory` are kept for
the next epoch, the others are encoded again.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from PIL import Image

from visae.activations.format import check_same_activations
from visae.activations.normalisation import normalise, statistics_of
from visae.activations.opening import open_cache
from visae.activations.source import Activations
from visae.backbones.preprocessing import Preprocessing
from visae.base.arrays import Float, Int, UInt
from visae.base.errors import UserError
from visae.base.pools import Threads
from visae.evals.results import Result
from visae.evals.segmentation.heads import HeadSettings, fit_heads, predictions
from visae.images.decoding import load_mask
from visae.images.index import UNLABELLED, ImageIndex, read_index
from visae.sae.checkpoint import check_fits, load_sae
from visae.sae.model import SparseAutoencoder
from visae.sae.sparse import collect_codes

HEAD = HeadSettings()

KEPT_BYTES = 4 * 2**30
"""Codes kept in memory between epochs: ADE20K's 20,210 training images at K = 128 take 4 GB."""

_TOKENS = 4096


def compute(inputs, settings, job):
    """Results of raw features, or of an SAE's reconstructions and codes."""
    root = inputs.data.root
    patches = inputs.shared("patches", lambda: _patches(inputs, root, job.threads))
    caches = [part.cache for part in (patches.train, patches.test)]
    for cache in caches:
        inputs.seen[f"activations of {cache.info.dataset}/{cache.info.split}"] = cache.fingerprint
    head = HeadSettings(**settings["head"])
    parts = patches.train, patches.test, patches.class_names
    if not inputs.of_raw:
        folder = inputs.sae_folder()
        saved = load_sae(folder)
        check_fits(saved, caches[0].info, folder)
        inputs.seen["sae"] = saved.fingerprint
        return segment_sae(*parts, saved.model, head, job.seed, job.device)
    with open_cache(inputs.cache(inputs.data.statistics), whole=False) as normalising:
        check_same_activations(normalising.info, caches[0].info)
        info = normalising.info
        inputs.seen[f"activations of {info.dataset}/{info.split}"] = normalising.fingerprint
        mean, std = statistics_of(normalising)
        return {"raw": segment_raw(*parts, mean, std, head, job.seed, job.device)}


@dataclass(frozen=True)
class Patches:
    """What all SAEs of a job are segmented with."""

    train: LabelledPatches
    test: LabelledPatches
    class_names: list


@contextlib.contextmanager
def _patches(inputs, root, threads):
    with contextlib.ExitStack() as stack:
        labelled = []
        for split in inputs.data.segmentation:
            cache = stack.enter_context(open_cache(inputs.cache(split)))
            index = read_index(*inputs.index(split))
            labelled.append(LabelledPatches(cache, patch_labels(cache, index, root, threads)))
        train, test = labelled
        yield Patches(train, test, [record.class_name for record in index.classes])


@dataclass(frozen=True)
class LabelledPatches:
    """A cache with the labels of its patches: training or test data of a head."""

    cache: Activations
    """Open."""
    labels_np: Int[np.ndarray, "N P"]
    """From `patch_labels`."""


# ---------------------------------------------------------------- labels


def patch_labels(
    cache: Activations, index: ImageIndex, root: str | Path, threads: int = 1
) -> Int[np.ndarray, "N P"]:
    """Labels of every patch of a cache: int16 [N, P], `UNLABELLED` where there is none.

    index: the split's `ImageIndex` with masks. root: the data set's folder. threads: for reading.
    Raises UserError for an image without a mask, and as `load_mask`.
    """
    preprocessing = Preprocessing(**cache.info.preprocessing)
    masks = {record.image_id: record.mask for record in index.images}
    lacking = [image_id for image_id in cache.image_ids if not masks.get(image_id)]
    if lacking:
        raise UserError(
            f"{len(lacking)} images of {cache.path} have no mask in the index, the first is "
            f"{lacking[0]!r}: segmentation needs a data set with masks, indexed as it was extracted"
        )

    def read(image_id):
        mask_hw = load_mask(Path(root) / masks[image_id], len(index.classes))
        return most_frequent(as_seen(mask_hw, preprocessing), cache.info.grid)

    with Threads(threads) as pool:
        return np.stack(list(pool.map(read, ((image_id,) for image_id in cache.image_ids))))


def as_seen(
    mask_hw: UInt[np.ndarray, "H W"], preprocessing: Preprocessing
) -> UInt[np.ndarray, "h w"]:
    """The mask uint8 [h, w] of what the backbone sees of an image, by its `Preprocessing`."""
    # The images' own code, so that both always cover the same pixels.
    picture = Image.fromarray(mask_hw).convert("RGB")
    return replace(preprocessing.in_bytes(), interpolation="nearest").pixels(picture)[0]


def most_frequent(mask_hw: UInt[np.ndarray, "H W"], grid: tuple[int, int]) -> Int[np.ndarray, " P"]:
    """Labels int16 [P] of the patches of a mask (0 unlabelled, v the class v − 1)."""
    rows, columns = grid
    height, width = mask_hw.shape[0] // rows, mask_hw.shape[1] // columns
    patches = mask_hw.reshape(rows, height, columns, width).swapaxes(1, 2)
    patches = patches.reshape(rows * columns, height * width).astype(np.int64)
    values = int(patches.max()) + 1
    cells = np.arange(len(patches))[:, None] * values + patches
    counts = np.bincount(cells.ravel(), minlength=len(patches) * values)
    return counts.reshape(-1, values).argmax(axis=1).astype(np.int16) - 1


# ---------------------------------------------------------------- score


def confusion(
    targets: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], classes: int
) -> Int[np.ndarray, "C C"]:
    """int64 [C, C]: counts by true class (rows) and predicted class."""
    cells = np.asarray(targets, np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def class_iou(confusion_cc: Int[np.ndarray, "C C"]) -> Float[np.ndarray, " C"]:
    """Intersection over union [C] of a confusion matrix; NaN for classes in neither."""
    hits = np.diag(confusion_cc).astype(np.float64)
    union = confusion_cc.sum(axis=0) + confusion_cc.sum(axis=1) - hits
    return np.divide(hits, union, out=np.full(hits.size, np.nan), where=union > 0)


# ---------------------------------------------------------------- heads


def segment_raw(
    train: LabelledPatches,
    test: LabelledPatches,
    class_names: Sequence[str],
    mean: Float[np.ndarray, " D"],
    std: float,
    settings: HeadSettings = HEAD,
    seed: int = 42,
    device: str = "cpu",
) -> Result:
    """Result of a head on normalised activations.

    train, test: `LabelledPatches`. class_names: list of C. mean [D], std: what normalises them.
    Raises UserError if no training patch is labelled.
    """
    normalised = functools.partial(normalise, mean=np.float32(mean), std=np.float32(std))
    views = {"raw": (train.cache.info.width, lambda rows: rows)}
    blocks = [_PatchBlocks(part, normalised, 0) for part in (train, test)]
    return _outcomes(blocks, views, class_names, settings, seed, device)["raw"]


def segment_sae(
    train: LabelledPatches,
    test: LabelledPatches,
    class_names: Sequence[str],
    sae: SparseAutoencoder,
    settings: HeadSettings = HEAD,
    seed: int = 42,
    device: str = "cpu",
    memory: int = KEPT_BYTES,
) -> dict[str, Result]:
    """Results {`reconstructed`, `codes`} of one head each, fitted to the same batches.

    sae: `SparseAutoencoder`. memory: bytes of codes kept between epochs. The other arguments are
    those of `segment_raw`.
    """
    sae = sae.to(device)
    _check_width(train.cache, sae)
    views = {
        "reconstructed": (sae.width, lambda rows: rows @ sae.decoder_weight),
        "codes": (sae.features, lambda rows: rows),
    }

    def encoded(activations_td):
        return sparse_codes(sae, torch.from_numpy(activations_td).to(device))

    blocks = [_PatchBlocks(train, encoded, memory), _PatchBlocks(test, encoded, 0)]
    found = _outcomes(blocks, views, class_names, settings, seed, device)
    if sae.input_normalisation != "none":
        reason = "the SAE normalises each token, so that its reconstructions have no common units"
        found["reconstructed"] = replace(found["reconstructed"], value=None, reason=reason)
    return found


def sparse_codes(
    sae: SparseAutoencoder, activations_td: Float[torch.Tensor, "T D"]
) -> scipy.sparse.csr_matrix:
    """The codes of activations [T, D] (a tensor on the SAE's device) as float32 CSR [T, F]."""
    shape = len(activations_td), sae.features
    if activations_td.device.type == "cpu" and sae.activation == "threshold":
        codes = collect_codes(
            sae.normalise(activations_td),
            sae.encoder_weight,
            sae.encoder_bias,
            sae.threshold.numpy(),
        )
        return scipy.sparse.csr_matrix((codes.values, codes.features, codes.row_starts), shape)
    parts = []
    for tokens_td in activations_td.split(_TOKENS):
        codes_tf = sae.encode(sae.normalise(tokens_td)).to_sparse_csr()
        indices = (codes_tf.col_indices().int(), codes_tf.crow_indices().int())
        parts.append(
            scipy.sparse.csr_matrix(
                tuple(part.cpu().numpy() for part in (codes_tf.values(), *indices)),
                (len(tokens_td), sae.features),
            )
        )
    return scipy.sparse.csr_matrix(scipy.sparse.vstack(parts) if parts else shape)


class _PatchBlocks:
    """The labelled patches of each chunk of a cache, as rows that `encode` makes of them."""

    def __init__(self, patches, encode, memory):
        self._cache, self._encode = patches.cache, encode
        self._kept, self._memory_left = {}, memory
        self.labels = [patches.labels_np[start:stop].ravel() for start, stop in self._cache.chunks]

    def load(self, number):
        """The labelled rows of chunk `number`."""
        if number in self._kept:
            return self._kept[number]
        activations_td = self._cache.read_chunk(number).reshape(-1, self._cache.info.width)
        rows = self._encode(activations_td[self.labels[number] != UNLABELLED])
        if self._memory_left > 0:
            size = rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes
            if size <= self._memory_left:
                self._memory_left -= size
                self._kept[number] = rows
        return rows


def _outcomes(blocks, views, class_names, settings, seed, device):
    train, test = blocks
    classes = len(class_names)
    data = _counts(train, "training") | _counts(test, "test") | {"classes": classes}
    if not data["test_patches"]:
        reason = "no test patch is labelled"
        return {name: Result(None, reason, data=data) for name in views}
    heads = fit_heads(train, views, classes, settings, seed, device)
    matrices = {name: np.zeros((classes, classes), np.int64) for name in views}
    for targets, predicted in predictions(test, heads, views, device=device):
        for name in views:
            matrices[name] += confusion(targets, predicted[name], classes)
    return {
        name: _outcome(matrix, class_names, settings, data) for name, matrix in matrices.items()
    }


def _outcome(confusion_cc, class_names, settings, data):
    iou = class_iou(confusion_cc)
    tested = confusion_cc.sum(axis=1) > 0
    return Result(
        value=float(np.nanmean(iou)),
        readings={
            "patch_accuracy": float(np.trace(confusion_cc) / confusion_cc.sum()),
            "miou_of_tested_classes": float(iou[tested].mean()),
        },
        details={
            "iou_per_class": {
                name: None if np.isnan(value) else float(value)
                for name, value in zip(class_names, iou, strict=True)
            },
            "head": asdict(settings),
        },
        data=data | {"scored_classes": int((~np.isnan(iou)).sum())},
    )


def _counts(blocks, part):
    labels = np.concatenate(blocks.labels)
    labelled = labels[labels != UNLABELLED]
    return {
        f"{part}_patches": int(labelled.size),
        f"{part}_patches_unlabelled": int(labels.size - labelled.size),
        f"{part}_classes": int(np.unique(labelled).size),
    }


def _check_width(cache, sae):
    if cache.info.width != sae.width:
        raise UserError(
            f"the SAE takes activations of width {sae.width}, but {cache.path} holds activations "
            f"of width {cache.info.width}: train the SAE on this backbone"
        )
