"""Targets that nothing makes are told from targets, files and values of options."""

from pathlib import Path

import pytest

from visae.base.errors import UserError
from visae.study.targets import asked_for, check

KNOWN = ["all", "metrics", "figure_3", "figure_8", "table_3"]
OTHERS = {"table_5": "needs M5", "interventions": "needs masks"}


@pytest.mark.parametrize(
    "words, message",
    [
        ("figure_9", "no target 'figure_9': did you mean figure_(3 or figure_8|8 or figure_3)"),
        ("-n figure_3 tabel_3", r"no target 'tabel_3': did you mean table_3"),
        ("--cores 2 -- metric", "did you mean metrics"),
        ("--config a=2 -- Figure_3", "did you mean figure_3"),
        ("nothing_like_it figure_9", "no target 'figure_9'"),
        ("table_5", "'table_5' is not made for this study: it needs M5"),
        ("interventions", "'interventions' is not made for this study: it needs masks"),
    ],
)
def test_a_target_that_does_not_exist_is_named(words, message):
    with pytest.raises(UserError, match=message):
        check(words.split(), KNOWN, OTHERS)


@pytest.mark.parametrize(
    "words",
    [
        "figure_3 all",
        "results/demo/figure_9.pdf",  # files are left to Snakemake
        "figure_9.pdf",
        "./figure_3x",
        "nothing_like_it",
        "--cores all --until metric -- figure_3",
        "--configfile figure_9 -- figure_3",
        "--rerun-triggers mtime params",
        "",
    ],
)
def test_other_words_are_left_alone(words):
    check(words.split(), KNOWN, OTHERS)


def test_a_file_of_that_name_is_a_target(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "figure_9").touch()
    check(["figure_9"], KNOWN, OTHERS)


def test_what_a_run_is_asked_for_lies_in_a_folder_or_not():
    folders = [Path("results/a/tables"), Path("results/a/report")]
    assert asked_for(folders, ["results/a/saes/x", "results/a/tables/scores/main.csv"])
    assert not asked_for(folders, ["results/a/tables_old/x", "results/b/report/index.html"])
    assert not asked_for(folders, [])
