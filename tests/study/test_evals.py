"""How evals are cut into jobs, what each job reads, and which of them a config asks for."""

import itertools

import pytest
from study_fixtures import demo_config, paper_config

from visae.base.errors import UserError
from visae.base.paths import Paths, place
from visae.evals import reads, shelf
from visae.evals.entry import METRIC, RAW, SAES
from visae.evals.shelf import EVALS
from visae.study import evals, roles
from visae.study.study import Study


def cells(study):
    """(source, eval, variant) of every job."""
    return sorted(
        (source, name, job.variant)
        for job in evals.eval_jobs(study)
        for source, name in itertools.product(job.sources, job.evals)
    )


def test_coarse_and_fine_evaluate_the_same_once():
    fine, coarse = (Study(paper_config() | {"granularity": g}) for g in ("fine", "coarse"))
    assert cells(fine) == cells(coarse)
    jobs = list(evals.eval_jobs(fine))
    outputs = [
        path
        for job in jobs
        for backbone, layer in (job.layers or {"any": 0}).items()
        for files in reads.outputs(
            job.evals, job.sources, Paths(), place(backbone, layer), job.variant
        ).values()
        for path in files
    ]
    assert len(set(outputs)) == len(outputs)
    assert all(len(job.evals) == 1 for job in jobs)
    assert len(list(evals.eval_jobs(coarse))) < len(jobs)


def test_a_job_depends_on_what_its_evals_read_only():
    study = Study(paper_config())
    data = {(job.source, job.batch): evals.data_of(study, job) for job in evals.eval_jobs(study)}
    alone = {"evaluation": "imagenet/val", "cross_domain": {}}
    assert data["main", "fvu"] == data["raw", "retrieval"] == alone
    assert list(data["main", "cross_domain"]["cross_domain"]) == list(study.cross_domain)
    assert list(data["main", "classification_dtd"]["cross_domain"]) == ["dtd"]
    assert data["raw", "segmentation"]["statistics"] == "imagenet/train"
    assert "statistics" not in data["main", "segmentation"]


def test_what_a_job_reads_is_that_of_its_entry():
    study = Study(paper_config())
    [job] = [j for j in evals.eval_jobs(study) if (j.source, j.batch) == ("main", "absorption")]
    data = reads.Data(**evals.data_of(study, job))
    assert reads.inputs(job.needs, data, ["a", "b"], Paths("r"), "clip/layer11") == {
        "reductions": [f"r/reductions/clip/layer11/{sae}/imagenet/val.h5" for sae in "ab"],
        "rankings": [f"r/rankings/clip/layer11/{sae}/imagenet.h5" for sae in "ab"],
        "probe_split": ["r/index/imagenet/probe_split.csv"],
        "classes": ["r/index/imagenet/classes.csv"],
    }


def test_embeddings_are_the_evaluators_and_in_the_variant_all():
    study = Study(paper_config())
    jobs = {(job.source, job.batch): job for job in evals.eval_jobs(study)}
    usual, every = jobs["main", "monosemanticity"], jobs["main", "monosemanticity_in_every_space"]
    evaluator = study.backbones["mae"]["evaluator"]
    assert list(evals.spaces_of(study, usual, "mae")) == [evaluator]
    assert set(evals.spaces_of(study, every, "mae")) >= set(roles.main(study).backbones)
    assert {evals.evaluator_of(study, job, "mae") for job in (usual, every)} == {evaluator}
    assert evals.evaluator_of(study, jobs["main", "fvu"], "mae") is None


def test_the_papers_metrics_stand_in_its_order():
    assert shelf.paper_metrics() == shelf.metrics()[:7]
    assert list(shelf.titles(shelf.paper_metrics()).values()) == [
        *("M1 Localization", "M2 FVU", "M3 Preservation", "M4 Sparse probing"),
        *("M5 Monosemanticity", "M6 Cross-domain", "M7 Absorption"),
    ]
    assert [m for m in shelf.metrics() if shelf.lower_is_better(m)] == ["fvu", "absorption"]


@pytest.mark.parametrize("name", EVALS)
def test_entries_are_whole(name):
    entry = EVALS[name]
    assert set(entry.of) == ({SAES} if entry.kind == METRIC else {SAES, RAW})
    for needs in [*entry.of.values(), *entry.variants.values()]:
        assert set(needs.reads) <= set(reads.READS)
        assert all(EVALS[other].kind == METRIC for other in needs.after)
    assert entry.data in reads.DATA
    assert all(schema["description"] for schema in entry.settings.values())
    assert [path.name for path in EVALS.files(name)].count("schema.json") == 1
    if entry.kind == METRIC:
        assert entry.protocol(Study(demo_config()).config, evals.sections.settings_of(
            name, Study(demo_config()).config))  # fmt: skip


def test_an_eval_of_each_data_set_has_it_in_its_name():
    assert shelf.entry_name("classification_cub_200") == "classification"
    assert shelf.dataset_of("classification_cub_200") == "cub_200"
    assert shelf.dataset_of("retrieval") is None
    with pytest.raises(UserError, match="no metric or task 'retrieval_cub'; there are"):
        shelf.entry_name("retrieval_cub")
