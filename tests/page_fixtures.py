"""Commands that README and docs show, and the small study that stands in for those they name."""

import os
import re
import shutil
import subprocess
import sys

import warm_python
from study_fixtures import ROOT
from workflow_fixtures import JOBS, SNAKEMAKE, copy_repository, warm

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

SPAN = re.compile(
    r"`((?:snakemake|make|visae|python|pip)\s[^`]+|(?:cp -\w+ \S+ |benchmarks/|\.ci/)[^`]+)`"
)
"""A command within a line of text."""

OPENS = re.compile(r"<<'(\w+)'|^\w+=\$\(")
"""What a command of several lines begins with: text of its own up to a word, or a variable."""

STUDY = "results/tiny"
STANDS_IN = {
    **dict.fromkeys(("results/demo", "results/other", "results/paper", "results/my"), STUDY),
    "clip_small/layer3/batchtopk_4x_k8": "dino_small/layer3/batchtopk_2x_k8",
    "clip_small/layer3/batchtopk_8x_k8": "dino_small/layer3/batchtopk_4x_k8",
    "clip_small/layer3/batchtopk_8x_k24": "dino_small/layer3/batchtopk_4x_k8",
    "dino_small/layer3/batchtopk_8x_k24": "deit_small/layer3/batchtopk_4x_k8",
    "mae_small/layer3/batchtopk_8x_k24": "deit_small/layer3/batchtopk_2x_k8",
    "vit_base_patch16_224_mae/layer11/batchtopk_8x_k64": "dino_small/layer3/batchtopk_4x_k8",
    "results/my_2": "results/tiny_2",
    "index_imagenet": "index_photographs",
    "/other/checkout": "other",
}
"""What pages name → what there is of the small study."""

_NAMED = re.compile("|".join(rf"{re.escape(name)}(?!\w)" for name in STANDS_IN))

NOT_CLONED = {".git", ".venv", ".snakemake", "results"}


def of_small_study(text):
    """The command or code with the names of the small study."""
    return _NAMED.sub(lambda match: STANDS_IN[match[0]], text)


def blocks_of(page):
    """(language, text) of the blocks of a page."""
    return _FENCE.findall(page.read_text(encoding="utf-8"))


def commands(page):
    """The shell commands of a page: of its `bash` blocks, then of its lines."""
    for language, block in blocks_of(page):
        if language == "bash":
            yield from _of_block(block)
    for span in SPAN.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        yield " ".join(span.split())


def _of_block(block):
    lines = iter(block.splitlines())
    for line in lines:
        command = re.sub(r"(^|\s+)#.*", "", line)
        if opened := OPENS.search(command):
            for more in lines:
                command += f"\n{more}"
                if more == opened[1] or not opened[1]:
                    break
        if command:
            yield command


def clone(folder):
    """The whole repository in `folder`, as `git clone` and `make` leave it, with `.venv`."""
    copy_repository(folder)
    shutil.copytree(ROOT / "docs", folder / "docs", dirs_exist_ok=True)
    for path in ROOT.iterdir():
        if path.name not in NOT_CLONED and not (folder / path.name).exists():
            if path.is_dir() and not path.is_symlink():
                (folder / path.name).symlink_to(path)  # nothing is written there
            else:
                shutil.copy2(path, folder / path.name, follow_symlinks=False)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def shell(programs):
    """`run(command, folder)`: what bash says to a command, as a user has it in a clone.

    programs: an empty folder. `snakemake`, `visae` and `python` are there as programs that have
    imported already what takes long.
    """
    job, planner = (f"{' '.join(warm_python.command(warm(*each)))}" for each in (JOBS, SNAKEMAKE))
    verbs = programs / "verbs.py"
    verbs.write_text(
        f"import sys\nfrom visae.command.main import main\n"
        f"sys.executable = '{programs}/python'\nmain(prog_name='visae')\n"
    )
    for name, text in {
        "snakemake": f'exec {planner} -m snakemake "$@"',
        "visae": f'exec {job} {verbs} "$@"',
        "python": f'case "$1 $2" in "-m snakemake") exec {planner} "$@" ;; esac\n'
        f'case "$1" in -m|*.py) exec {job} "$@" ;; esac\nexec {sys.executable} "$@"',
        # What `make` has set up is the environment of the tests, whoever made it.
        "make": f'exec {shutil.which("make")} --assume-old=.venv/.ready "$@"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)

    def run(command, folder):
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder,
            env=os.environ
            | {
                "PATH": f"{programs}:{os.environ['PATH']}",
                "PYTHONPATH": str(folder / "workflow_scripts"),
                warm_python.JOBS: job.split()[-1],
                "OMP_NUM_THREADS": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return run
