"""Commands that docs and messages print: a reader types them as they stand, so they must work so.

Snakemake's own parser reads each of them. A target must be one that the workflow has, and a run
must say its cores. test_commands_of_pages.py runs those of README and docs.
"""

import ast
import functools
import re
import shlex
import subprocess

import pytest
import yaml
from snakemake.cli import get_argument_parser
from study_fixtures import ROOT, demo_config, paper_config
from workflow_fixtures import copy_repository, snakemake

COMMAND = re.compile(r"`((?:snakemake|make) [^`]+)`|^((?:snakemake|make) [^#\n]+)", re.MULTILINE)
DOCS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
CODE = [*ROOT.glob("workflow_scripts/**/*.py")]
OTHERS = [*ROOT.glob("rules/**/*"), *ROOT.glob("profiles/*/*.yaml"), ROOT / "Snakefile"]


def texts():
    """(file, text) of all that people read."""
    for path in [*DOCS, *filter(lambda path: path.is_file(), OTHERS)]:
        yield path, path.read_text(encoding="utf-8")
    for path in CODE:
        code = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(code if "make" in code else "")):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "x" for p in node.values]
                yield path, "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path, node.value


@functools.cache
def printed(program):
    """Command → the first file that prints it."""
    found = {}
    for path, text in texts():
        for match in COMMAND.finditer(text):
            command = " ".join((match[1] or match[2]).split())
            if command.startswith(f"{program} "):
                found.setdefault(command, path.relative_to(ROOT).as_posix())
    return found


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """The rules that the workflow has for its two studies."""
    folder = copy_repository(tmp_path_factory.mktemp("printed"))
    names = set()
    for config in (paper_config(), demo_config()):
        names |= set(snakemake(folder, "--list-rules", config=config).stdout.split())
    return names


def profile_of(arguments):
    """The settings of the profiles that a command names."""
    settings = {}
    for name in arguments.profile or []:
        folder = ROOT / name if (ROOT / name).is_dir() else ROOT / "profiles" / name
        (file,) = folder.glob("config*.yaml")
        settings |= yaml.safe_load(file.read_text(encoding="utf-8"))
    return settings


@pytest.mark.parametrize(("command", "file"), printed("snakemake").items())
def test_snakemake_takes_the_command_as_printed(command, file, targets):
    arguments = get_argument_parser().parse_args(shlex.split(command)[1:])
    asks_only = arguments.dryrun or arguments.unlock or arguments.touch
    profile = profile_of(arguments)
    assert asks_only or arguments.cores or "cores" in profile or "executor" in profile, (
        f"{file}: no cores"
    )
    for path in arguments.configfile or []:
        assert str(path).endswith(".yaml"), f"{file}: a target is taken for a config file"
    for target in arguments.targets:
        assert target in targets or target.startswith("results/"), f"{file}: no target {target}"


@pytest.mark.parametrize(("command", "file"), printed("make").items())
def test_make_has_the_target_as_printed(command, file):
    run = subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True)
    assert run.returncode == 0, f"{file}: {run.stderr.decode()}"


def test_commands_are_found_in_docs_and_in_messages():
    files = set(printed("snakemake").values())
    assert {"README.md", "docs/scale.md", "workflow_scripts/visae/plan/disk.py"} <= files
