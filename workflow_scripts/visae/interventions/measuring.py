"""What an edit does: the share of units of a class whose prediction changes, and of all others.

A unit is what a head judges: an image, or a patch. The target of an edit are the units that are of
the class which its feature tells; the others are of other classes, those of no class are not
counted. Every edit of a class has the size of its feature's, in sum; the controls also patch by
patch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from visae.audit.patch_maps import codes_of
from visae.backbones.continuing import Continuation
from visae.base.arrays import Bool, Float
from visae.base.errors import UserError
from visae.base.progress import counted
from visae.evals.segmentation.heads import HeadSettings
from visae.interventions.edits import Edit, mean_suppression, suppression
from visae.interventions.heads import Head, fit_image_head, fit_patch_head, read
from visae.interventions.settings import FEATURE, MEAN, OTHER, PATCHES, RANDOM, SEGMENTATION
from visae.interventions.tasks import Images, Task
from visae.interventions.telling import ClassSums, best_feature
from visae.sae.model import SparseAutoencoder

BATCH = 32


@dataclass(frozen=True)
class Learned:
    """What training images teach."""

    heads: dict[str, Head]
    codes: ClassSums
    """Of magnitudes of codes, pooled over an image or patch by patch."""
    activations: ClassSums
    """Of patches."""


@dataclass(frozen=True)
class Chosen:
    """A feature that is edited, and the class that it tells."""

    label: int
    feature: int
    correlation: float
    how: str
    """`rule` or `named`."""


@dataclass(frozen=True)
class Candidate:
    """An edit with what it is."""

    chosen: Chosen
    kind: str
    """Of `EDITS`."""
    seed: int
    edit: Edit


@dataclass
class Outcome:
    """What the edits of one head, class, direction and strength changed, counted over units."""

    target_changed: int = 0
    other_changed: int = 0
    probability: float = 0.0
    """Of the class, summed over the target."""


@dataclass
class Measured:
    """Of one task: units, and outcomes by (head, number of the candidate, strength)."""

    target: dict[int, int] = field(default_factory=dict)
    """Class → test units of it."""
    labelled: int = 0
    right: dict[str, int] = field(default_factory=dict)
    """Head → units that it has right without an edit."""
    before: dict[tuple[str, int], float] = field(default_factory=dict)
    """(head, class) → probability of the class without an edit, summed over the target."""
    outcomes: dict[tuple[str, int, float], Outcome] = field(default_factory=dict)


class Network:
    """A backbone from one block on, with the SAE of that block."""

    def __init__(self, continuation: Continuation, sae: SparseAutoencoder, device: str = "cpu"):
        self.continuation, self.sae, self.device = continuation, sae.to(device), device
        self.backbone = continuation.backbone

    def batches(self, images: Images) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
        """Yield (rows, network input [B, 3, S, S], tokens of the block [B, T, D])."""
        for start in range(0, len(images.pixels), BATCH):
            rows = slice(start, min(start + BATCH, len(images.pixels)))
            pixels = torch.from_numpy(images.pixels[rows]).to(self.device)
            images_b3hw = self.backbone.normalise(pixels)
            yield rows, images_b3hw, self.continuation.tokens(images_b3hw)

    def patches(self, tokens_btd: Float[torch.Tensor, "B T D"]) -> Float[torch.Tensor, "B P D"]:
        """The activations that the SAE reads, as a cache holds them."""
        tokens_bpd = tokens_btd[:, self.backbone.prefix_tokens :]
        return tokens_bpd.to(getattr(torch, self.backbone.spec.storage)).float()


@torch.inference_mode()
def learn(
    network: Network, task: Task, heads: Sequence[str], head: HeadSettings, seed: int
) -> Learned:
    """Fit heads to a task's training images; sum up codes and activations by class.

    head: settings of the patch head.
    """
    classes, labels_nu = len(task.classes), task.train.labels
    codes = ClassSums(classes, network.sae.features, network.device)
    activations = ClassSums(classes, network.sae.width, network.device)
    read_by = {name: [] for name in heads}
    for rows, images_b3hw, tokens_btd in network.batches(task.train):
        patches_bpd = network.patches(tokens_btd)
        codes_bpf = network.sae.encode(network.sae.normalise(patches_bpd)).abs_()
        labels_bu = torch.from_numpy(labels_nu[rows]).to(network.device)
        pooled = codes_bpf if task.kind == SEGMENTATION else codes_bpf.amax(dim=1, keepdim=True)
        codes.add(pooled.flatten(0, 1), labels_bu.flatten())
        labels_bp = labels_bu.expand(-1, patches_bpd.shape[1])
        activations.add(patches_bpd.flatten(0, 1), labels_bp.flatten())
        ending = network.continuation(images_b3hw, tokens_btd)
        for name, parts in read_by.items():
            parts.append(read(name, ending).cpu().numpy())
    found = {}
    # Heads are fitted by gradients, which inference mode would not record.
    with torch.inference_mode(False), torch.enable_grad():
        for name, parts in read_by.items():
            read_nud = np.concatenate(parts)
            if name == PATCHES:
                found[name] = fit_patch_head(
                    read_nud, labels_nu, classes, head, seed, network.device
                )
            else:
                labels_n = labels_nu[:, 0]
                found[name] = fit_image_head(
                    read_nud[:, 0], labels_n, classes, seed, network.device
                )
    return Learned(found, codes, activations)


def choose(
    learned: Learned, named: Sequence[int], most: int, kind: str
) -> tuple[list[Chosen], list[int]]:
    """(features with the class that each tells, classes that no feature tells).

    Of every class the feature that tells it best. Of segmentation these are the `most` classes with
    most training patches. named: further features, each with the class that it tells best.

    Raises UserError for a named one that tells none.
    """
    correlations_cf, counts_c = learned.codes.correlations(), learned.codes.counts
    labels = np.flatnonzero((counts_c > 0) & (counts_c < counts_c.sum()))
    if kind == SEGMENTATION:
        labels = np.sort(labels[np.argsort(-counts_c[labels], kind="stable")][:most])
    chosen, untold = [], []
    for label in labels.tolist():
        feature = best_feature(correlations_cf[label])
        if feature is None:
            untold.append(label)
        else:
            chosen.append(Chosen(label, feature, float(correlations_cf[label, feature]), "rule"))
    for feature in named:
        if np.isnan(correlations_cf[labels, feature]).all():
            raise UserError(
                f"config: interventions.named asks for feature {feature}, whose code is the same "
                "on all training images, or these are of one class: it tells no class; name another"
            )
        label = int(labels[np.nanargmax(correlations_cf[labels, feature])])
        chosen.append(Chosen(label, feature, float(correlations_cf[label, feature]), "named"))
    return chosen, untold


@torch.inference_mode()
def candidates(
    network: Network,
    learned: Learned,
    chosen: Sequence[Chosen],
    activations_npd: Float[torch.Tensor, "n P D"],
    patches_p: Bool[torch.Tensor, " P"],
    seeds: int,
    seed: int,
) -> list[Candidate]:
    """Of every chosen feature: its edit, `seeds` of each control, and the class's mean direction.

    activations: of the test images. patches: which of them are edited.
    """
    sae, found = network.sae, []
    features = sorted({one.feature for one in chosen})
    codes_npk = torch.stack([codes_of(sae, image_pd, features) for image_pd in activations_npd])
    live = np.flatnonzero(learned.codes.live)
    for one in chosen:
        codes_np = codes_npk[..., features.index(one.feature)]
        own = suppression(sae, one.feature, activations_npd, codes_np, patches_p)
        found.append(Candidate(one, FEATURE, 0, own))
        others = live[live != one.feature]
        for number in range(seeds):
            random = np.random.default_rng([seed, one.label, one.feature, number])
            drawn_d = torch.from_numpy(random.normal(size=sae.width).astype(np.float32))
            found.append(Candidate(one, RANDOM, number, own.turned(drawn_d.to(network.device))))
            if len(others):
                row_d = sae.decoder_weight[int(random.choice(others))]
                found.append(Candidate(one, OTHER, number, own.turned(row_d)))
        if one.how == "rule":
            means = learned.activations.means(one.label)
            mean = mean_suppression(*means, activations_npd, patches_p, own.size)
            found.append(Candidate(one, MEAN, 0, mean))
    return found


Watch = Callable[[str, int | None, float, slice, torch.Tensor, torch.Tensor], Any]
"""(head, number of the candidate or None, strength, rows, predicted [B, U], probabilities)."""


@torch.inference_mode()
def measure(
    network: Network,
    heads: dict[str, Head],
    images: Images,
    edits: Sequence[Candidate],
    strengths: Sequence[float],
    watch: Watch = lambda *_: None,
) -> Measured:
    """Apply every edit with every strength to test images.

    A batch that an edit leaves as it is gives the same bits, and is not run again. watch: is told
    what heads answer, without an edit first.
    """
    found = Measured(labelled=int((images.labels >= 0).sum()))
    for label in {one.chosen.label for one in edits}:
        found.target[label] = int((images.labels == label).sum())
    for name in heads:
        found.right[name] = 0
        for number in range(len(edits)):
            found.outcomes |= {(name, number, s): Outcome() for s in strengths}
    for rows, images_b3hw, tokens_btd in counted(
        network.batches(images), "images edited", len(images.pixels), size=lambda b: len(b[1])
    ):
        labels_bu = torch.from_numpy(images.labels[rows]).to(network.device)

        def answers(tokens):
            ending = network.continuation(images_b3hw, tokens)  # noqa: B023
            for name, head in heads.items():
                probabilities = head.logits(read(name, ending)).softmax(dim=-1)
                yield name, probabilities.argmax(dim=-1), probabilities

        plain = {name: (was, before) for name, was, before in answers(tokens_btd)}
        for name, (was, before) in plain.items():
            found.right[name] += int((was == labels_bu).sum())
            for label in found.target:
                key, summed = (name, label), before[..., label][labels_bu == label].sum()
                found.before[key] = found.before.get(key, 0.0) + float(summed)
            watch(name, None, 0.0, rows, was, before)
        for number, one in enumerate(edits):
            label = one.chosen.label
            target_bu = labels_bu == label
            other_bu = (labels_bu >= 0) & ~target_bu
            for strength in strengths:
                if one.edit.is_nothing(rows):
                    edited = ((name, *same) for name, same in plain.items())
                else:
                    edited = answers(one.edit.applied(tokens_btd, rows, strength))
                for name, now, probabilities in edited:
                    outcome = found.outcomes[name, number, strength]
                    changed_bu = now != plain[name][0]
                    outcome.target_changed += int((changed_bu & target_bu).sum())
                    outcome.other_changed += int((changed_bu & other_bu).sum())
                    outcome.probability += float(probabilities[..., label][target_bu].sum())
                    watch(name, number, strength, rows, now, probabilities)
    return found


@torch.inference_mode()
def test_activations(network: Network, images: Images) -> Float[torch.Tensor, "n P D"]:
    """The activations of images that the SAE reads, on the network's device."""
    parts = [network.patches(tokens) for _, _, tokens in network.batches(images)]
    return torch.cat(parts)


def chosen_patches(patches: Sequence[int] | None, count: int) -> Bool[torch.Tensor, " P"]:
    """Which of P patches are edited: bool [P]; all of them without `patches`."""
    if patches is None:
        return torch.ones(count, dtype=torch.bool)
    return torch.zeros(count, dtype=torch.bool).index_fill_(0, torch.as_tensor(patches), True)
