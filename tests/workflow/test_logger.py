"""Snakemake's errors about config files get the file, the line and the cure."""

import logging
import os
import sys

import pytest
import yte
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
from snakemake_interface_logger_plugins.tests import MockOutputSettings
from snakemake_logger_plugin_visae import LogHandler, wrong_configs
from study_fixtures import ROOT
from workflow_fixtures import copy_repository, run_command

BAD = "study: a\nlabel: [1, 2\nseed: 3\n"
SENTENCE = "line 3, column 5 is no YAML"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return copy_repository(tmp_path_factory.mktemp("logger"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").touch()
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "tabs.yaml").write_text("study:\ta\n")
    (tmp_path / "good.yaml").write_text("study: a\n")
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile/config.yaml").write_text("configfile: ../bad.yaml\ncores: 1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--configfile", "bad.yaml"], ["bad.yaml"]),
        (["--configfiles", "good.yaml", "tabs.yaml", "bad.yaml", "-n"], ["tabs.yaml", "bad.yaml"]),
        (["--configfile=bad.yaml", "--", "a_target"], ["bad.yaml"]),
        (["--profile", "profile"], ["bad.yaml"]),
        (["--configfile", "nowhere.yaml"], ["nowhere.yaml"]),
        (["--configfile", "good.yaml"], []),
        (["--configfile", os.devnull], []),  # what is read once is not read again
        (["-n"], []),
    ],
)
def test_config_files_are_found_as_snakemake_finds_them(folder, capfd, words, found):
    sentences = list(wrong_configs(words))
    assert [sentence.split(",")[0].split()[0].split("/")[-1] for sentence in sentences] == found
    assert capfd.readouterr() == ("", "")


def emit(message, event=LogEvent.ERROR, **settings):
    common = MockOutputSettings()
    vars(common).update(settings)
    record = logging.LogRecord("snakemake", logging.ERROR, "", 1, message, (), None)
    record.event = event
    LogHandler(common_settings=common, settings=None).emit(record)


def test_a_sentence_comes_once_and_where_snakemakes_stands(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["snakemake", "-n", "--configfile", "bad.yaml"])
    emit("Config file is not valid JSON or YAML.", stdout=True)
    said = capsys.readouterr().out
    assert said.startswith(f"bad.yaml, {SENTENCE}")
    emit("Config file is not valid JSON or YAML.")
    assert capsys.readouterr() == ("", said)
    emit(f"WorkflowError in file Snakefile, line 20:\n{said.strip()}")
    emit("another job has failed", LogEvent.JOB_ERROR)
    assert capsys.readouterr() == ("", "")


def test_the_default_profile_asks_for_the_logger_only_where_snakemake_finds_it(monkeypatch):
    text = (ROOT / "profiles/default/config.yaml").read_text("utf-8")
    assert yte.process_yaml(text, require_use_yte=True) == {"logger": ["visae"]}
    monkeypatch.setattr(LoggerPluginRegistry(), "plugins", {})
    assert not yte.process_yaml(text, require_use_yte=True)


def test_plain_snakemake_names_the_line(repository, tmp_path):
    """From another folder too, beside another profile; the sentence comes once."""
    (tmp_path / "bad.yaml").write_text(BAD)
    words = ["--snakefile", str(repository / "Snakefile"), "--directory", str(tmp_path / "study")]
    profile = ["--profile", str(repository / "profiles/demo")]
    run = run_command(
        tmp_path, ["snakemake", *words, *profile, "--configfile", "bad.yaml"], fresh=True
    )
    assert run.returncode == 1
    assert "not valid JSON or YAML" in run.stdout
    assert run.stdout.count(f"bad.yaml, {SENTENCE}") == 1
    assert "     2 | label: [1, 2" in run.stdout
