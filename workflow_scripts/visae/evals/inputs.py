"""What an eval reads, opened when it is first asked for; and the fingerprints of what was read."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from visae.base.errors import UserError
from visae.base.fingerprints import of_file
from visae.base.paths import RAW, Paths, place
from visae.base.seals import made_of
from visae.encoding.reductions import RawReductions, SaeReductions
from visae.evals import results
from visae.evals.reads import READS, Data, dataset_in
from visae.evals.shelf import EVALS, dataset_of, entry_name
from visae.probing.multinomial import read_probe
from visae.probing.rankings import read_rankings
from visae.probing.siblings import read_sibling_groups
from visae.probing.splits import read_split
from visae.sae.folder import read_warnings


@dataclass(frozen=True)
class Job:
    """How a job computes: the study's seed, threads or processes, `cpu` or `cuda:<i>`."""

    seed: int
    threads: int
    device: str


class Files:
    """The files that a job was given, by path."""

    def __init__(self, given):
        self._given = set(map(str, given))

    def __getitem__(self, path):
        """`path`, if the job was given it; else UserError."""
        if path not in self._given:
            raise UserError(
                f"{path} is read, but is not among the inputs of this job: say in the entry what "
                f"is read (`reads`: {', '.join(READS)}; `after`: the results of other evals)"
            )
        return path


class Sources:
    """What the evals of a job read: one backbone's features, and those of its SAEs.

    files: the `Files`. paths: their `Paths`. place: of the backbone. data: a `Data`. spaces:
    backbone → layer of the embeddings, evaluator: the one that gives the headline. What all SAEs
    share is opened once. A context manager, which closes it.
    """

    def __init__(self, files, paths, place, data, spaces=None, evaluator=None):
        self.files, self.paths, self.place, self.data = files, paths, place, data
        self.spaces, self.evaluator = spaces or {}, evaluator
        self._shared, self._stack = {}, contextlib.ExitStack()
        self.read = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def inputs(self, sae, name):
        """The `Inputs` of the eval `name` for an SAE, or for `RAW` features."""
        return Inputs(self, sae, name)

    def shared(self, key, build):
        """`build()`, once for the whole job; a context manager is entered until its end."""
        if key not in self._shared:
            value = build()
            managed = hasattr(value, "__exit__")
            self._shared[key] = self._stack.enter_context(value) if managed else value
        return self._shared[key]


class Inputs:
    """What one eval reads of one source; a context manager, which closes it.

    Without a split or a data set, those of the evaluation are meant. sae: the SAE's name, or
    `RAW`. dataset: the eval's, where there is one eval for each; else None. seen: name →
    fingerprint of what was read so far. read: the paths of it, as keys.
    """

    def __init__(self, sources, sae, name):
        self._sources, self.sae = sources, sae
        self.data, self.evaluator = sources.data, sources.evaluator
        self.dataset = dataset_of(name)
        self.seen, self.read = {}, {}
        self._open, self._stack = {}, contextlib.ExitStack()
        self._warnings = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stack.close()

    @property
    def of_raw(self):
        """Whether the source is a backbone's own features."""
        return self.sae == RAW

    @property
    def signed(self):
        """Whether codes of the SAE may be negative, of those that were read."""
        encoded = [file for file in self._open.values() if isinstance(file, SaeReductions)]
        return any(file.signed for file in encoded)

    @property
    def warnings(self):
        """What speaks against the SAE, by what of it was read; empty for raw features."""
        encoded = [file for file in self._open.values() if isinstance(file, SaeReductions)]
        return next((file.warnings for file in encoded), self._warnings)

    # ---- what is open while this eval is computed

    def encoded(self, split=None):
        """The open `SaeReductions` of the SAE on a split."""
        split = split or self.data.evaluation
        opened = self._opened(SaeReductions, self.sae, split)
        self.seen |= {"sae": opened.sae_fingerprint}
        return opened

    def raw(self, split=None):
        """The open `RawReductions` of the backbone's own features on a split."""
        return self._opened(RawReductions, RAW, split or self.data.evaluation)

    def _opened(self, kind, source, split):
        path = self._file(self._paths.reductions(source, split, self._place))
        if path not in self._open:
            self._open[path] = self._stack.enter_context(kind(path))
        opened = self._open[path]
        self.seen |= {f"activations of {split}": opened.cache_fingerprint}
        return opened

    # ---- what the SAEs of a job share

    def features_max(self, split=None):
        """Max-pooled features of the backbone itself, float [N, D]."""
        raw = self.raw(split)
        return self.shared(("features_max", split), raw.features_max)

    def held_out(self):
        """bool [N]: the evaluation images held out from every probe."""
        path = self._file(self._paths.probe_split(self.data.dataset))
        reductions = self.raw() if self.of_raw else self.encoded()
        self.seen |= {"the probe split": self.shared(("hash", path), lambda: of_file(path))}
        return self.shared(path, lambda: read_split(path, reductions.image_ids))

    def sibling_groups(self):
        """The evaluation data set's sibling groups."""
        path = self._file(self._paths.classes(self.data.dataset))
        self.seen |= {"the classes": self.shared(("hash", path), lambda: of_file(path))}
        return self.shared(path, lambda: read_sibling_groups(path))

    def embeddings(self):
        """{backbone: embeddings of the evaluation images in its space, float [N, D']}."""
        return {backbone: self._embedded(backbone) for backbone in self._sources.spaces}

    def _embedded(self, backbone):
        where = place(backbone, self._sources.spaces[backbone])
        path = self._file(self._paths.reductions(RAW, self.data.evaluation, where))

        def read():
            with RawReductions(path) as raw:
                return raw.embeddings(), raw.cache_fingerprint

        embeddings, fingerprint = self.shared(("embeddings", backbone), read)
        self.seen |= {f"the embeddings by {backbone}": fingerprint}
        return embeddings

    def raw_probe(self, dataset=None):
        """The `LinearProbe` of the backbone's own features on a data set."""
        path = self._file(self._paths.raw_probe(dataset or self.data.dataset, self._place))
        return self.shared(path, lambda: read_probe(path))

    # ---- files of the SAE

    def rankings(self, dataset=None):
        """The `Rankings` of the SAE's features on a data set."""
        dataset = dataset or self.data.dataset
        return read_rankings(self._file(self._paths.rankings(self.sae, dataset, self._place)))

    def result(self, name):
        """The document of another metric of this SAE."""
        path = self._paths.metric(self.sae, name, place=self._place)
        return results.read_result(self._file(path))

    def sae_folder(self):
        """The folder of the SAE, for `load_sae`."""
        folder = Path(self._file(self._paths.sae(self.sae, place=self._place))).parent
        self._warnings = read_warnings(folder)
        return folder

    # ---- files of patches

    def cache(self, split):
        """The path of a split's activation cache."""
        return self._file(self._paths.cache(split, self._place))

    def index(self, split):
        """The paths of a split's index and of its data set's classes."""
        classes = self._paths.classes(dataset_in(split))
        return self._file(self._paths.index(split)), self._file(classes)

    # ---- both

    def shared(self, key, build):
        """As `Sources.shared`; what `build` reads is read by all that share it."""
        before, self.read = self.read, {}
        value = self._sources.shared(key, build)
        files = self._sources.read.setdefault(key, self.read)
        self.read = before | files
        return value

    @property
    def _paths(self):
        return self._sources.paths

    @property
    def _place(self):
        return self._sources.place

    def _file(self, path):
        """`path`; UserError unless the files that were read so far were made of the same ones."""
        path = self._sources.files[path]
        self.read[path] = None
        made_of(path, self.read)
        return path


def computed(name, inputs, settings, job):
    """What the eval `name` finds; UserError for whatever goes wrong in it."""
    try:
        return EVALS.module(entry_name(name), "compute").compute(inputs, settings, job)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{name} of {inputs.sae} failed with {type(error).__name__}: {error}; the log has where"
        ) from error


def opened(given, results_folder, where, data, **spaces):
    """The `Sources` of a job that was given some files below `results_folder`."""
    return Sources(Files(given), Paths(results_folder), where, Data(**data), **spaces)
