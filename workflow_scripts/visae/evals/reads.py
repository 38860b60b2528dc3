"""From what an eval reads, by name, to the paths of files: for its rule and for its job alike.

The rule lists the files; the job rebuilds the path of each from what it wants and finds it among
those that it was given. So nothing depends on the order of files.
"""

from dataclasses import dataclass, field

from visae.base.paths import RAW as RAW_SOURCE
from visae.base.paths import Paths, place
from visae.evals.shelf import EVALS, dataset_of, entry_name


@dataclass(frozen=True)
class Data:
    """The data of a study, as far as the evals of a job read them.

    evaluation: the split's name. statistics: name of the split that normalises. cross_domain: data
    set → its training and test split. segmentation: the training and the test split with masks.
    root: the folder of their images.
    """

    evaluation: str
    statistics: str | None = None
    cross_domain: dict = field(default_factory=dict)
    segmentation: tuple = ()
    root: str | None = None

    @property
    def dataset(self):
        """The evaluation data set."""
        return dataset_in(self.evaluation)


def dataset_in(split):
    """The data set of a split's name."""
    return split.split("/")[0]


def _of_evaluation(data, dataset):
    return [data.evaluation]


def _of_other_domains(data, dataset):
    pairs = data.cross_domain if dataset is None else {dataset: data.cross_domain[dataset]}
    return [split for pair in pairs.values() for split in pair]


def _of_segmentation(data, dataset):
    return list(data.segmentation)


DATA = {
    "evaluation": _of_evaluation,
    "cross_domain": _of_other_domains,
    "segmentation": _of_segmentation,
}
"""`Eval.data` → function of a `Data` and of an eval's data set (None: all) to names of splits."""


@dataclass(frozen=True)
class Scope:
    """One eval of one source: what its files are looked up by.

    splits: names. sae: its name, `RAW_SOURCE` for a backbone's own features. spaces: backbone →
    layer of the embeddings.
    """

    paths: Paths
    place: str
    sae: str
    splits: tuple
    evaluation: str
    statistics: str | None
    spaces: dict

    @property
    def datasets(self):
        """The data sets of the splits."""
        return list(dict.fromkeys(map(dataset_in, self.splits)))


def _reductions(scope):
    return [scope.paths.reductions(scope.sae, split, scope.place) for split in scope.splits]


def _raw(scope):
    return [scope.paths.reductions(RAW_SOURCE, split, scope.place) for split in scope.splits]


def _raw_probes(scope):
    return [scope.paths.raw_probe(dataset, scope.place) for dataset in scope.datasets]


def _rankings(scope):
    return [scope.paths.rankings(scope.sae, dataset, scope.place) for dataset in scope.datasets]


def _probe_split(scope):
    return [scope.paths.probe_split(dataset_in(scope.evaluation))]


def _classes(scope):
    return [scope.paths.classes(dataset) for dataset in scope.datasets]


def _embeddings(scope):
    return [
        scope.paths.reductions(RAW_SOURCE, scope.evaluation, place(backbone, layer))
        for backbone, layer in scope.spaces.items()
    ]


def _caches(scope):
    return [scope.paths.cache(split, scope.place) for split in scope.splits]


def _indices(scope):
    return [scope.paths.index(split) for split in scope.splits]


def _statistics(scope):
    return [scope.paths.cache(scope.statistics, scope.place)]


def _weights(scope):
    return [scope.paths.sae(scope.sae, place=scope.place)]


READS = {
    "codes": {"reductions": _reductions},
    "reconstructions": {"reductions": _reductions},
    "moran": {"reductions": _reductions},
    "errors": {"reductions": _reductions},
    "raw": {"raw": _raw},
    "raw_probe": {"raw_probes": _raw_probes},
    "rankings": {"rankings": _rankings},
    "probe_split": {"probe_split": _probe_split},
    "sibling_groups": {"classes": _classes},
    "embeddings": {"embeddings": _embeddings},
    "every_embedding": {"embeddings": _embeddings},
    "patches": {"caches": _caches, "indices": _indices, "classes": _classes},
    "statistics": {"statistics": _statistics},
    "weights": {"saes": _weights},
}
"""What an eval may read → kind of input → its files. Labels and ids are in the reductions.

errors: sums over tokens, of squares and of active codes. moran: Moran's I, on the evaluation
split. embeddings: of the evaluator, every_embedding: of every backbone of the main sweep and of
their evaluators. patches: caches with masks. statistics: mean and standard deviation.
"""

FROM_LABELS = ("raw_probe", "rankings", "probe_split", "sibling_groups")
"""Those that are made of labels: what reads them says `labels` in its entry."""

FROM_SPACES = ("embeddings", "every_embedding")
"""Those that differ with the backbone, beyond its place."""


def splits_of(name, data):
    """The names of the splits that the eval `name` reads."""
    return DATA[EVALS[entry_name(name)].data](data, dataset_of(name))


def inputs(needs, data, saes, paths, place, spaces=None):
    """{kind of input: paths} of a job; each file once.

    needs: eval → `Needs`. data: a `Data`. saes: names. paths: a `Paths`, in whose templates `place`
    may be a wildcard. spaces: of `Scope`; without them, what is in `FROM_SPACES` is left out.
    """
    found = {}
    for name, need in needs.items():
        for sae in saes:
            scope = Scope(
                paths, place, sae, tuple(splits_of(name, data)), data.evaluation, data.statistics,
                spaces or {},
            )  # fmt: skip
            for read in need.reads:
                for kind, files in READS[read].items():
                    found.setdefault(kind, {}).update(dict.fromkeys(files(scope)))
            for other in need.after:
                path = paths.metric(sae, other, place=place)
                found.setdefault("results", {}).update({path: None})
    return {kind: list(files) for kind, files in found.items()}


def outputs(names, saes, paths, place, variant=""):
    """{`results`, `arrays`: paths} of a job."""
    return {
        "results": [result(paths, sae, name, place, variant) for sae in saes for name in names],
        "arrays": [
            result(paths, sae, name, place, variant, "npz")
            for sae in saes
            for name in names
            if EVALS[entry_name(name)].arrays
        ],
    }


def result(paths, sae, name, place, variant="", suffix="json"):
    """The path of an eval's result for an SAE, or for a backbone's own features."""
    if EVALS[entry_name(name)].kind == "metric":
        return paths.metric(sae, name, suffix, place, f"{variant}/" if variant else "")
    return paths.task(sae, name, place, suffix)
