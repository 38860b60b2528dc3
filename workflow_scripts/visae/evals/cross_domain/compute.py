"""M6 cross-domain generalisation: M3 and M4 on data sets the SAE has not seen.

Each representation (raw, reconstructed, codes) gets its own probe, trained on the data set's
own training split with the same settings. Paper: section 4.3, Appendices L and M; the headline
of Table 3 is iNaturalist alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from visae.base.arrays import Float, Int
from visae.base.pools import workers_on
from visae.evals.cross_domain.entry import BUDGET
from visae.evals.results import Result
from visae.probing.multinomial import LinearProbe, choose_estimator
from visae.probing.rankings import Rankings, gather_ranked
from visae.probing.raw_probes import fit_domain_probe
from visae.probing.readout import accuracy_curve, class_areas, eligible_rows
from visae.probing.splits import stratified_split

ONE_VS_REST_CLASSES = 1000

AS_RUN_HELD_OUT = 0.2
"""Share of a test split on which the probes of the reading `as_run` are scored."""


def compute(inputs, settings, job):
    """M6 of an SAE."""
    readings, as_run = {}, {}
    for dataset, (train, test) in inputs.data.cross_domain.items():
        fitted, scored = inputs.encoded(train), inputs.encoded(test)
        readings[dataset] = domain_reading(
            raw_reading(inputs.raw_probe(dataset), inputs.features_max(test), scored.labels),
            fitted.reconstructions_max(),
            scored.reconstructions_max(),
            fitted.codes,
            scored.codes,
            inputs.rankings(dataset),
            fitted.labels,
            scored.labels,
            job.device,
            job.threads,
            job.seed,
            settings["one_vs_rest_classes"],
        )
        within = functools.partial(
            accuracy_within, labels=scored.labels, seed=job.seed, device=job.device
        )
        raw = inputs.shared(
            ("accuracy_within", dataset), functools.partial(within, inputs.features_max(test))
        )
        as_run[dataset] = within(scored.reconstructions_max()) / raw if raw else None
    return cross_domain(readings, settings["headline"], as_run)


@dataclass(frozen=True)
class RawReading:
    """The raw features' probe of one data set: a property of the backbone alone."""

    accuracy: float
    estimator: str
    converged: bool


@dataclass(frozen=True)
class DomainReading:
    """One SAE on one data set."""

    raw: RawReading
    accuracy_reconstructed: float
    accuracy_codes: float
    auc_codes: float | None
    budget: int
    """Features of the codes' probes: 128, or all if there are fewer."""
    estimators: dict
    """Representation -> solver."""
    not_converged: int
    """Fits of the codes' and reconstructions' probes that did not converge."""
    data: dict
    """Counts."""

    @property
    def preservation(self):
        """Accuracy on reconstructions / on raw features; None if the latter is 0."""
        return self.accuracy_reconstructed / self.raw.accuracy if self.raw.accuracy else None


def raw_reading(
    probe: LinearProbe, test_md: Float[np.ndarray, "m D"], test_labels: Int[np.ndarray, " m"]
) -> RawReading:
    """Read the raw features' probe (`raw_probes.fit_domain_probe`) on raw test features [m, D]."""
    return RawReading(probe.accuracy(test_md, test_labels), probe.estimator, probe.converged)


def accuracy_within(
    x_nd: Float[np.ndarray, "n D"],
    labels: Int[np.ndarray, " n"],
    seed: int = 42,
    device: str = "cpu",
) -> float | None:
    """Accuracy of a probe on a fifth of the features x_nd [n, D] of a split, fitted on the others.

    The division is stratified. None if no image is held out, or there are fewer than two classes.
    """
    held_out = stratified_split(labels, AS_RUN_HELD_OUT, seed)
    if not held_out.any() or np.unique(labels).size < 2:
        return None
    probe = fit_domain_probe(x_nd[~held_out], labels[~held_out], device)
    return probe.accuracy(x_nd[held_out], labels[held_out])


def domain_reading(
    raw: RawReading,
    recon_train_nd: Float[np.ndarray, "n D"],
    recon_test_md: Float[np.ndarray, "m D"],
    codes_train_fn: Any,
    codes_test_fm: Any,
    rankings: Rankings,
    train_labels: Int[np.ndarray, " n"],
    test_labels: Int[np.ndarray, " m"],
    device: str = "cpu",
    processes: int = 1,
    seed: int = 42,
    one_vs_rest_classes: int = ONE_VS_REST_CLASSES,
) -> DomainReading:
    """Probe an SAE's reconstructions [n, D] and max-pooled codes [F, n] of a data set.

    raw: from `raw_reading`. rankings: `probing.rankings.Rankings` of the training images. Codes
    are probed on the 128 best features: one multinomial probe on the global ranking (accuracy),
    one-vs-rest probes on each class's own (ROC-AUC), for a sample of at most
    `one_vs_rest_classes` classes (uniform, seeded, the same for every SAE).
    """
    recon = fit_domain_probe(recon_train_nd, train_labels, device)
    budget = min(BUDGET, rankings.per_class.shape[1])
    eligible = eligible_rows(rankings, test_labels)
    rows = eligible
    if rows.size > one_vs_rest_classes:
        random = np.random.default_rng(seed)
        rows = np.sort(random.choice(rows, one_vs_rest_classes, replace=False))
    best = rankings.overall[:budget]
    train, test = (
        gather_ranked(codes, rankings.per_class[rows, :budget], best)
        for codes in (codes_train_fn, codes_test_fm)
    )
    images = train_labels, test_labels
    estimator = choose_estimator(rankings.classes.size)
    curve = accuracy_curve(train.rows(best), test.rows(best), *images, [budget], device, estimator)
    with workers_on(device, processes=processes) as workers:
        areas = class_areas(train, test, rankings, rows, *images, [budget], device, workers)
    return DomainReading(
        raw=raw,
        accuracy_reconstructed=recon.accuracy(recon_test_md, test_labels),
        accuracy_codes=curve.accuracy[0],
        auc_codes=areas.mean_auc[0],
        budget=budget,
        estimators={
            "raw": raw.estimator,
            "reconstructed": recon.estimator,
            "codes": curve.estimator,
        },
        not_converged=areas.not_converged + curve.not_converged + (not recon.converged),
        data={
            "training_images": len(train_labels),
            "test_images": len(test_labels),
            "classes": np.union1d(train_labels, test_labels).size,
            "eligible_classes": eligible.size,
            "one_vs_rest_classes": rows.size,
        },
    )


def cross_domain(
    readings: Mapping[str, DomainReading], headline: str, as_run: Mapping[str, float | None]
) -> Result:
    """M6.

    readings: data set name -> DomainReading, for the data sets that were computed. headline: the
    name whose preservation is the value; null if it is not among them. as_run: data set name ->
    accuracy on reconstructions / on raw features, both from `accuracy_within`, or None.
    """
    value = reason = None
    if headline not in readings:
        reason = (
            f"the headline data set {headline!r} was not evaluated; "
            f"evaluated: {', '.join(readings) or 'none'}"
        )
    else:
        value = readings[headline].preservation
        if value is None:
            images = readings[headline].data["test_images"]
            reason = f"the raw probe is right on none of the {images} test images of {headline}"
    numbers = {}
    for name, reading in readings.items():
        numbers |= {
            f"{name}_accuracy_raw": reading.raw.accuracy,
            f"{name}_accuracy_reconstructed": reading.accuracy_reconstructed,
            f"{name}_preservation": reading.preservation,
            f"{name}_accuracy_codes_at_{reading.budget}": reading.accuracy_codes,
            f"{name}_auc_codes_at_{reading.budget}": reading.auc_codes,
        }
    return Result(
        value=value,
        reason=reason,
        readings=numbers
        | {f"{name}_as_run": ratio for name, ratio in as_run.items()}
        | {"as_run": as_run.get(headline)},
        details={
            "headline": headline,
            "estimators": {name: reading.estimators for name, reading in readings.items()},
            "converged_raw": {name: reading.raw.converged for name, reading in readings.items()},
            "not_converged": {name: reading.not_converged for name, reading in readings.items()},
        },
        data={name: reading.data for name, reading in readings.items()},
    )
