"""Linear heads on what the network ends with, fitted to training images as they are.

Image heads are the study's own probes (`visae.probing`), on the class token or on the mean of the
patches. The patch head is that of the task segmentation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from visae.backbones.backbone import Backbone
from visae.backbones.continuing import Ending
from visae.base.arrays import Float, Int
from visae.base.errors import UserError
from visae.evals.segmentation.heads import HeadSettings, fit_heads
from visae.images.index import UNLABELLED
from visae.interventions.settings import HEADS, PATCHES
from visae.probing.multinomial import choose_estimator, fit_probe


class Head(NamedTuple):
    """Logits of what a head reads."""

    weight: Float[torch.Tensor, "D C"]
    bias: Float[torch.Tensor, " C"]

    def logits(self, read_bud: Float[torch.Tensor, "B U D"]) -> Float[torch.Tensor, "B U C"]:
        """Logits of every unit: an image has one, or one per patch."""
        return read_bud @ self.weight + self.bias


def read(name: str, ending: Ending) -> Float[torch.Tensor, "B U D"]:
    """What the head `name` (of `HEADS`) reads of every unit."""
    if name == PATCHES:
        return ending.patches
    if name == "pooled_patches":
        return ending.patches.mean(dim=1, keepdim=True)
    if ending.class_token is None:
        raise ValueError("the network has no class token")
    return ending.class_token[:, None]


def usable(kind: str, asked: list[str] | None, backbone: Backbone, layer: int) -> list[str]:
    """The heads of a kind of task that an edit of patches at block `layer` can reach.

    After the last block only the norm is left, which patches go through one by one: what is edited
    there never reaches the class token. asked: of the config, None for all that there are.

    Raises UserError where a head that is asked for cannot be reached, or none is left.
    """
    found, name = [], backbone.spec.name
    for head in (head for head, of in HEADS.items() if of == kind):
        if asked is not None and head not in asked:
            continue
        if head == "class_token" and not backbone.class_token:
            continue
        if head == "class_token" and layer == backbone.depth - 1:
            if asked is None:
                continue
            raise UserError(
                f"config: interventions.heads has class_token, but block {layer} is the last one "
                f"of {name}: nothing is left to run that would carry an edit of patches to the "
                "class token; take an SAE of an earlier block, or pooled_patches"
            )
        found.append(head)
    if not found and asked and any(HEADS[head] == kind for head in asked):
        raise UserError(
            f"config: interventions.heads asks for {' and '.join(asked)}, but {name} has no class "
            "token; add pooled_patches"
        )
    return found


def fit_image_head(
    read_nd: Float[np.ndarray, "n D"],
    labels_n: Int[np.ndarray, " n"],
    classes: int,
    seed: int,
    device: str,
) -> Head:
    """A probe of the project's own; of the C `classes` those without an image are never said."""
    probe = fit_probe(read_nd, labels_n, choose_estimator(classes), device=device, seed=seed)
    weight = np.zeros((read_nd.shape[1], classes), np.float32)
    bias = np.full(classes, -np.inf, np.float32)
    weight[:, probe.classes], bias[probe.classes] = probe.coef.T, probe.intercept
    return Head(torch.from_numpy(weight).to(device), torch.from_numpy(bias).to(device))


def fit_patch_head(
    read_npd: Float[np.ndarray, "n P D"],
    labels_np: Int[np.ndarray, "n P"],
    classes: int,
    settings: HeadSettings,
    seed: int,
    device: str,
) -> Head:
    """The linear head of the task segmentation; patches that are unlabelled are left out."""
    width = read_npd.shape[-1]
    fitted = fit_heads(
        _Blocks(read_npd, labels_np), {PATCHES: (width, lambda rows: rows)}, classes, settings,
        seed, device,
    )[PATCHES]  # fmt: skip
    return Head(fitted.weight.detach(), fitted.bias.detach())


class _Blocks:
    """Patches as `fit_heads` reads them, some images at a time."""

    _IMAGES = 64

    def __init__(self, read_npd, labels_np):
        starts = range(0, len(labels_np), self._IMAGES)
        self._rows = [read_npd[i : i + self._IMAGES] for i in starts]
        self.labels = [labels_np[i : i + self._IMAGES].ravel() for i in starts]

    def load(self, number):
        """The labelled rows of a block."""
        rows_nd = self._rows[number].reshape(len(self.labels[number]), -1)
        return rows_nd[self.labels[number] != UNLABELLED]
