"""What an eval reads: each thing from its own file, opened once, closed at the end, and said."""

from types import SimpleNamespace

import pytest

from visae.base.errors import UserError
from visae.base.paths import RAW, Paths
from visae.evals import inputs
from visae.evals.inputs import Files, Sources, opened
from visae.evals.reads import Data

PLACE, OTHER = "clip/layer11", "dinov2/layer3"
DATA = Data("imagenet/val", statistics="imagenet/train", cross_domain={"cub": ["cub/a", "cub/b"]})
PATHS = Paths("results/study")


class Opened:
    """Stands for reductions: knows its path, and whether it is open."""

    def __init__(self, path):
        self.path, self.closed = path, False
        self.image_ids, self.signed, self.warnings = [path], False, [f"warning of {path}"]
        self.sae_fingerprint, self.cache_fingerprint = f"sae of {path}", f"cache of {path}"
        everything.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def features_max(self):
        return f"features of {self.path}"

    def embeddings(self):
        return f"embeddings of {self.path}"


class OpenedSae(Opened):
    pass


everything = []


class Everything:
    """All files: what is asked for is noted."""

    def __init__(self):
        self.asked = []

    def __getitem__(self, path):
        self.asked.append(path)
        return path


@pytest.fixture
def files(monkeypatch):
    everything.clear()
    monkeypatch.setattr(inputs, "RawReductions", Opened)
    monkeypatch.setattr(inputs, "SaeReductions", OpenedSae)
    monkeypatch.setattr(inputs, "made_of", lambda path, read: None)
    monkeypatch.setattr(inputs, "read_warnings", lambda folder: [f"warning of {folder}"])
    monkeypatch.setattr(inputs, "of_file", lambda path: f"hash of {path}")
    for name in ("read_probe", "read_rankings", "read_sibling_groups"):
        monkeypatch.setattr(inputs, name, lambda path, name=name: (name, path))
    monkeypatch.setattr(inputs, "read_split", lambda path, ids: ("read_split", path, *ids))
    return Everything()


def sources(files, **spaces):
    return Sources(files, PATHS, PLACE, DATA, **spaces)


def test_a_file_that_the_job_was_not_given_is_refused():
    given = Files(["a/b.h5", "c.csv"])
    assert given["a/b.h5"] == "a/b.h5"
    with pytest.raises(UserError, match=r"d\.csv is read, but is not among the inputs of this job"):
        given["d.csv"]


def test_each_thing_is_read_from_its_own_file(files):
    sae = sources(files).inputs("a", "preservation")
    of_split = PATHS.reductions("a", "imagenet/val", PLACE)
    assert sae.encoded().path == of_split
    assert sae.encoded("cub/b").path == PATHS.reductions("a", "cub/b", PLACE)
    assert sae.raw().path == PATHS.reductions(RAW, "imagenet/val", PLACE)
    assert sae.raw("cub/a").path == PATHS.reductions(RAW, "cub/a", PLACE)
    assert sae.features_max("cub/a") == f"features of {PATHS.reductions(RAW, 'cub/a', PLACE)}"
    assert sae.features_max() == f"features of {PATHS.reductions(RAW, 'imagenet/val', PLACE)}"
    split = PATHS.probe_split("imagenet")
    assert sae.held_out() == ("read_split", split, of_split)
    assert sae.sibling_groups() == ("read_sibling_groups", PATHS.classes("imagenet"))
    assert sae.raw_probe() == ("read_probe", PATHS.raw_probe("imagenet", PLACE))
    assert sae.raw_probe("cub") == ("read_probe", PATHS.raw_probe("cub", PLACE))
    assert sae.rankings() == ("read_rankings", PATHS.rankings("a", "imagenet", PLACE))
    assert sae.rankings("cub") == ("read_rankings", PATHS.rankings("a", "cub", PLACE))
    assert sae.cache("cub/a") == PATHS.cache("cub/a", PLACE)
    assert sae.index("cub/a") == (PATHS.index("cub/a"), PATHS.classes("cub"))
    assert str(sae.sae_folder()) == PATHS.sae("a", "x", PLACE).removesuffix("/x")


def test_what_was_read_is_said(files):
    sae = sources(files, spaces={"dinov2": 3}, evaluator="dinov2").inputs("a", "monosemanticity")
    sae.encoded()
    where = PATHS.reductions("a", "imagenet/val", PLACE)
    assert sae.seen == {
        "sae": f"sae of {where}",
        "activations of imagenet/val": f"cache of {where}",
    }
    sae.held_out()
    assert sae.seen["the probe split"] == f"hash of {PATHS.probe_split('imagenet')}"
    sae.sibling_groups()
    assert sae.seen["the classes"] == f"hash of {PATHS.classes('imagenet')}"
    space = PATHS.reductions(RAW, "imagenet/val", OTHER)
    assert sae.embeddings() == {"dinov2": f"embeddings of {space}"}
    assert sae.seen["the embeddings by dinov2"] == f"cache of {space}"
    assert len(sae.seen) == 5
    another = sources(files).inputs("a", "fvu")
    assert another.seen == {}
    another.raw()
    assert set(another.seen) == {"activations of imagenet/val"}


def test_raw_features_are_split_by_their_own_images(files):
    raw = sources(files).inputs(RAW, "retrieval")
    assert raw.of_raw
    assert raw.held_out()[2] == PATHS.reductions(RAW, "imagenet/val", PLACE)
    assert not sources(files).inputs("a", "retrieval").of_raw


def test_files_are_opened_once_and_closed_at_the_end(files):
    with sources(files) as job:
        with job.inputs("a", "fvu") as first:
            assert first.encoded() is first.encoded()
            assert first.raw() is first.raw()
            assert not any(file.closed for file in everything)
        assert all(file.closed for file in everything)
        with job.inputs("b", "fvu") as second:
            assert second.encoded() is not first.encoded
            assert second.encoded().path != first._open.popitem()[0]
        built = []
        managed = Opened("shared")
        for inputs_of in (first, second):
            assert inputs_of.shared("x", lambda: built.append(1) or "it") == "it"
            assert inputs_of.shared("y", lambda: managed) is managed
        assert built == [1]
        assert not managed.closed
    assert managed.closed


def test_codes_are_signed_if_those_that_were_read_are(files):
    sae = sources(files).inputs("a", "fvu")
    assert not sae.signed
    sae.raw().signed = True  # has no codes
    assert not sae.signed
    sae.encoded()
    assert not sae.signed
    sae.encoded().signed = True
    assert sae.signed


def test_warnings_are_those_of_the_sae_by_what_of_it_was_read(files):
    sae = sources(files).inputs("a", "fvu")
    sae.raw()
    assert sae.warnings == []
    folder = sae.sae_folder()
    assert sae.warnings == [f"warning of {folder}"]
    of_reductions = [f"warning of {sae.encoded().path}"]
    assert sae.warnings == of_reductions


def test_what_is_shared_was_read_by_all_that_share_it(files):
    """So that a file made of another one is refused for each of them."""
    job = sources(files)
    first, second = job.inputs("a", "fvu"), job.inputs("b", "fvu")
    probe, split = PATHS.raw_probe("imagenet", PLACE), PATHS.probe_split("imagenet")
    for one in (first, second):
        one.shared("probe", lambda one=one: one.raw_probe())
        assert list(one.read) == [probe]
    second.held_out()
    own = PATHS.reductions("b", "imagenet/val", PLACE)
    assert set(second.read) == {probe, split, own}
    assert list(first.read) == [probe]


def test_the_data_set_is_that_of_the_name(files):
    assert sources(files).inputs(RAW, "classification_cub").dataset == "cub"
    assert sources(files).inputs(RAW, "retrieval").dataset is None


def test_what_fails_in_an_eval_names_eval_and_sae(monkeypatch):
    def failing(*_):
        raise error

    monkeypatch.setattr(inputs.EVALS, "module", lambda *_: SimpleNamespace(compute=failing))
    error = ZeroDivisionError("by zero")
    with pytest.raises(UserError, match="fvu of a failed with ZeroDivisionError: by zero"):
        inputs.computed("fvu", SimpleNamespace(sae="a"), {}, None)
    error = UserError("a sentence of its own")
    with pytest.raises(UserError, match=r"^a sentence of its own$"):
        inputs.computed("fvu", SimpleNamespace(sae="a"), {}, None)


def test_a_job_reads_below_its_results_alone():
    given = ["results/study/index/imagenet/classes.csv"]
    job = opened(given, "results/study", PLACE, {"evaluation": "imagenet/val"}, evaluator="dinov2")
    assert job.files[given[0]] == given[0]
    assert job.paths == PATHS
    assert (job.place, job.data.evaluation, job.evaluator) == (PLACE, "imagenet/val", "dinov2")
    assert job.spaces == {}
