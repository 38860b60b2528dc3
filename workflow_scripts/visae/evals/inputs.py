"""From the files of a study to the arrays of a metric: what each metric reads.

The metrics themselves (`visae.metrics`) know arrays only. Here the files of one backbone are
opened once, and shared by all its SAEs.
"""

import functools
import importlib
from dataclasses import dataclass

from visae.base.fingerprints import of_file
from visae.encoding.reductions import RawReductions, SaeReductions
from visae.evals.signed import OF_RECONSTRUCTIONS, without_value
from visae.probing.multinomial import read_probe
from visae.probing.rankings import read_rankings
from visae.probing.siblings import read_sibling_groups
from visae.probing.splits import read_split


@dataclass(frozen=True, eq=False)  # hashed by identity, for the cache
class Source:
    """The files that scores of one backbone's SAEs are computed from; absent ones are empty.

    reductions: (split, SAE) → path. raw: split → path. raw_probes: data set → path.
    rankings: (data set, SAE) → path. probe_split, classes: of the evaluation data set.
    embeddings: space of M5 → its raw reductions. evaluation: name of the evaluation split.
    cross_domain: data set → (training split, test split).
    """

    evaluation: str
    reductions: dict
    raw: dict
    raw_probes: dict
    rankings: dict
    probe_split: str | None
    classes: str | None
    embeddings: dict
    evaluator: str | None
    cross_domain: dict

    @property
    def dataset(self):
        """The evaluation data set."""
        return self.evaluation.split("/")[0]

    @functools.cached_property
    def test_mask(self):
        """bool [N]: the evaluation images held out from every probe."""
        with RawReductions(self.raw[self.evaluation]) as raw:
            return read_split(self.probe_split, raw.image_ids)

    @functools.cached_property
    def sibling_groups(self):
        """The evaluation data set's sibling groups."""
        return read_sibling_groups(self.classes)

    @functools.cache  # noqa: B019 (a Source lives as long as the job)
    def features_max(self, split):
        """Max-pooled raw features [N, D] of a split."""
        with RawReductions(self.raw[split]) as raw:
            return raw.features_max()

    @functools.cache  # noqa: B019 (a Source lives as long as the job)
    def embedded(self, space):
        """The evaluation images' embeddings [N, D] in the space of a backbone."""
        with RawReductions(self.embeddings[space]) as raw:
            return raw.embeddings()

    @functools.cached_property
    def shared_fingerprints(self):
        """What identifies the inputs that all SAEs of the backbone share."""
        files = {"the probe split": self.probe_split, "the classes": self.classes}
        found = {name: of_file(path) for name, path in files.items() if path}
        for space, path in self.embeddings.items():
            with RawReductions(path) as raw:
                found[f"the embeddings by {space}"] = raw.cache_fingerprint
        return found

    def fingerprints(self, sae):
        """What identifies the inputs of an SAE's scores: its weights, the caches it encoded, …"""
        found = dict(self.shared_fingerprints)
        for (split, name), _ in self.reductions.items():
            if name == sae:
                with self.open(sae, split) as encoded:
                    found["sae"] = encoded.sae_fingerprint
                    found[f"activations of {split}"] = encoded.cache_fingerprint
        return found

    def signed(self, sae):
        """Whether codes of an SAE may be negative."""
        split = next(split for split, name in self.reductions if name == sae)
        with self.open(sae, split) as encoded:
            return encoded.signed

    def open(self, sae, split):
        """The open reductions of an SAE on a split."""
        return SaeReductions(self.reductions[split, sae])


def score_sae(metric, source, sae, settings, seed, processes, device):
    """The Score of an SAE (its name) on `metric`."""
    score = _SCORERS[metric](source, sae, settings, seed, processes, device)
    if metric not in OF_RECONSTRUCTIONS and source.signed(sae):
        return without_value(score)
    return score


def _metric(name):
    """The function of the metric `name`, imported only when it is used."""
    return getattr(importlib.import_module(f"visae.evals.{name}.compute"), name)


def _localization(source, sae, settings, *_):
    with source.open(sae, source.evaluation) as encoded:
        return _metric("localization")(
            encoded.moran_sum,
            encoded.moran_images,
            encoded.minimum_active,
            encoded.grid,
            headline_minimum=settings["minimum_active"][0],
            minimum_images=settings["minimum_images"],
        )


def _fvu(source, sae, *_):
    with (
        source.open(sae, source.evaluation) as encoded,
        RawReductions(source.raw[source.evaluation]) as raw,
    ):
        return _metric("fvu")(
            encoded.squared_error,
            raw.total_squares,
            encoded.firing_count,
            encoded.tokens,
            encoded.l0_sum,
        )


def _preservation(source, sae, settings, seed, processes, device):
    with source.open(sae, source.evaluation) as encoded:
        return _metric("preservation")(
            source.features_max(source.evaluation),
            encoded.reconstructions_max(),
            encoded.labels,
            source.test_mask,
            read_probe(source.raw_probes[source.dataset]),
            device,
        )


def _sparse_probing(source, sae, settings, seed, processes, device):
    with source.open(sae, source.evaluation) as encoded:
        return _metric("sparse_probing")(
            encoded.codes,
            read_rankings(source.rankings[source.dataset, sae]),
            encoded.labels,
            source.test_mask,
            settings["budgets"],
            device,
            processes,
        )


def _monosemanticity(source, sae, settings, seed, *_):
    with source.open(sae, source.evaluation) as encoded:
        return _metric("monosemanticity")(
            encoded.codes,
            encoded.firing_max > 0,
            {space: source.embedded(space) for space in source.embeddings},
            source.evaluator,
            encoded.labels,
            seed,
            max_features=settings["features"],
            top=settings["top_images"],
            baseline_groups=settings["baseline_groups"],
        )


def _cross_domain(source, sae, settings, seed, processes, device):
    from visae.evals.cross_domain.compute import cross_domain, domain_reading, raw_reading

    readings = {}
    for dataset, (train, test) in source.cross_domain.items():
        raw_probe = read_probe(source.raw_probes[dataset])
        with source.open(sae, train) as fitted, source.open(sae, test) as scored:
            readings[dataset] = domain_reading(
                raw_reading(raw_probe, source.features_max(test), scored.labels),
                fitted.reconstructions_max(),
                scored.reconstructions_max(),
                fitted.codes,
                scored.codes,
                read_rankings(source.rankings[dataset, sae]),
                fitted.labels,
                scored.labels,
                device,
                processes,
                seed,
                settings["one_vs_rest_classes"],
            )
    return cross_domain(readings, settings["headline"])


def _absorption(source, sae, settings, seed, processes, device):
    with source.open(sae, source.evaluation) as encoded:
        return _metric("absorption")(
            encoded.codes,
            read_rankings(source.rankings[source.dataset, sae]),
            source.sibling_groups,
            encoded.labels,
            source.test_mask,
            settings["alpha"],
            settings["beta"],
            device,
            processes,
        )


_SCORERS = {
    "localization": _localization,
    "fvu": _fvu,
    "preservation": _preservation,
    "sparse_probing": _sparse_probing,
    "monosemanticity": _monosemanticity,
    "cross_domain": _cross_domain,
    "absorption": _absorption,
}
