"""What a study cannot compute is known from its config: named with the reason, and not planned."""

import pytest
from study_fixtures import demo_config, paper_config

from visae.base.errors import UserError
from visae.evals.reads import FROM_LABELS
from visae.evals.shelf import EVALS
from visae.study import evals, jobs
from visae.study.study import Study

NONE = "needs labels: data set imagenet has none"


def unlabelled(split=None):
    config = paper_config()
    entry = config["datasets"]["imagenet"]
    (entry["splits"][split] if split else entry)["labels"] = "none"
    return config


@pytest.mark.parametrize("name", EVALS)
def test_what_reads_what_labels_are_made_to_says_so(name):
    entry = EVALS[name]
    read = {read for needs in entry.of.values() for read in needs.reads}
    assert entry.labels or not read & set(FROM_LABELS)


def test_whole_study_lacks_nothing():
    assert Study(paper_config()).absent == {}


def test_metrics_that_no_sweep_is_scored_on_are_neither_computed_nor_missing():
    """A report says on how many a study's SAEs are scored, and what it lacks of what was asked."""
    config = paper_config()
    config["downstream"] = config["interventions"] = None
    config["metrics"]["cross_domain"]["datasets"] = {}
    assert set(Study(config).absent) == {"cross_domain"}
    listed = ["localization", "fvu", "preservation"]
    for entry in config["sweeps"].values():
        entry["metrics"] = listed
    study = Study(config)
    assert (study.metrics(), study.asked(), study.absent) == (listed, listed, {})


def test_without_labels_the_rest_is_computed():
    study = Study(unlabelled())
    assert study.absent == dict.fromkeys(
        ("preservation", "sparse_probing", "absorption", "retrieval"), NONE
    )
    assert study.metrics() == ["localization", "fvu", "monosemanticity", "cross_domain"]
    assert study.asked() == Study(paper_config()).metrics()
    assert study.sweeps["main"].absent == {m: NONE for m in study.absent if m != "retrieval"}
    assert study.sweeps["token_order"].absent == {}
    assert "retrieval" not in study.tasks()
    assert study.probe_datasets() == ["inaturalist", "cub", "dtd"]


@pytest.mark.parametrize("granularity", ["fine", "coarse"])
def test_no_job_reads_labels_that_there_are_not(granularity):
    study = Study(unlabelled() | {"granularity": granularity})
    planned = {name for job in evals.eval_jobs(study) for name in job.evals}
    assert not planned & set(study.absent)
    for sweep in jobs.encoded_together(study, cached=True):
        for _, datasets in jobs.ranking(study, sweep):
            assert "imagenet" not in datasets


def test_labels_are_those_of_the_split_that_is_read():
    assert Study(unlabelled("train")).absent == {}
    reasons = set(Study(unlabelled("val")).absent.values())
    assert reasons == {"needs labels: the split imagenet/val has none"}


def test_m6_needs_labels_of_its_own_data_sets():
    config = paper_config()
    config["datasets"]["dtd"]["labels"] = "none"
    study = Study(config)
    reason = "needs labels: data set dtd has none"
    # Classification reads what M6 leaves behind, on every data set.
    assert study.absent == dict.fromkeys(
        ["cross_domain", *(f"classification_{d}" for d in ("inaturalist", "cub", "dtd"))], reason
    )
    assert study.encoded_splits() == [study.evaluation]


def test_m6_without_data_sets_has_a_reason():
    config = paper_config()
    del config["metrics"]
    study = Study(config)
    reason = "needs data sets: metrics.cross_domain names none"
    assert study.absent == dict.fromkeys(["cross_domain", "classification"], reason)


def test_masks_are_no_labels():
    config = paper_config()
    config["evaluation"] = {"dataset": "ade20k", "split": "validation"}
    assert Study(config).absent["sparse_probing"] == "needs labels: data set ade20k has none"
    config["datasets"]["ade20k"]["labels"] = "all"
    with pytest.raises(UserError, match=r"datasets.ade20k.labels.*ade20k has not; set it to none"):
        Study(config)


def test_pretraining_reads_classes():
    config = demo_config()
    config["datasets"]["photographs"]["labels"] = "none"
    with pytest.raises(UserError, match=r"pretraining.*photographs/train has no labels"):
        Study(config)


@pytest.mark.parametrize(
    ("layout", "shares", "message"),
    [
        ("imagefolder", {"train": 0.7, "val": None}, "give each split a `share`"),
        ("imagefolder", {"train": 0.7, "val": 0.4}, "no more than 1"),
        ("imagenet", {"train": 0.7, "val": 0.3}, "layout imagenet has not"),
        ("imagefolder", {"train": 0.7, "val": 0.3}, None),
    ],
)
def test_shares_are_of_one_folder(layout, shares, message):
    config = paper_config()
    entry = config["datasets"]["imagenet"]
    entry["layout"] = layout
    entry["splits"] = {n: {} if s is None else {"share": s} for n, s in shares.items()}
    if message is None:
        Study(config)
    else:
        with pytest.raises(UserError, match=message):
            Study(config)
