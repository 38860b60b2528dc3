"""What a visitor of the repository reads and installs is true: pages, version, templates."""

import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import yaml
from prose import WORDS, sentences, words
from study_fixtures import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks(page, language):
    """The code blocks of a page in one language."""
    text = (ROOT / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "path",
    [
        *sorted((ROOT / ".github").rglob("*.yml")),
        *(ROOT / name for name in (".pre-commit-config.yaml", ".snakemake-workflow-catalog.yml")),
        ROOT / "CITATION.cff",
    ],
    ids=lambda path: path.name,
)
def test_yaml_files_parse(path):
    assert isinstance(yaml.safe_load(path.read_text("utf-8")), dict)


@pytest.mark.parametrize("name", ["ci", "release"])
def test_workflows_run_what_ci_runs(name):
    workflow = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text("utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if ".ci/run" in step.get("run", "")] == ["bash .ci/run"]
    assert (ROOT / ".ci/run").is_file()


def test_issue_forms_have_what_a_form_needs():
    for name in ("bug", "feature"):
        form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text("utf-8"))
        assert {"name", "description", "body"} <= form.keys()
        assert len({field["id"] for field in form["body"]}) == len(form["body"])


def test_the_version_is_that_of_pyproject_everywhere():
    version = PROJECT["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == version
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"^## (.*)$", changes, re.MULTILINE)[1] == version
    sources = (ROOT / "workflow_scripts").rglob("*.py")
    assert not [path for path in sources if "__version__ =" in path.read_text("utf-8")]


def test_hooks_call_tools_that_are_installed_for_tests():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    pinned = (ROOT / "requirements-dev.txt").read_text("utf-8")
    for hook in hooks[0]["hooks"]:
        tool = re.match(r"\.venv/bin/(\w+)", hook["entry"])[1]
        assert f"\n{tool}==" in pinned


def test_planted_faults_are_of_the_present_code():
    """`make mutants`, which CI does not run, would end at the first that is not."""
    faults = yaml.safe_load((ROOT / "tests/mutation/planted.yaml").read_text("utf-8"))
    assert len(faults) > 50
    for fault in faults:
        source = (ROOT / "workflow_scripts/visae" / fault["module"]).read_text("utf-8")
        assert source.count(fault["was"]) == 1, fault
    for fault in yaml.safe_load((ROOT / "tests/mutation/equivalent.yaml").read_text("utf-8")):
        source = (ROOT / "workflow_scripts/visae" / fault["module"]).read_text("utf-8")
        assert fault["was"] in source, fault


def test_the_guide_for_contributors_is_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()) <= 60


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if not re.match(r"https?:", target):
            path, _, anchor = target.partition("#")
            linked = page.parent / path if path else page
            assert linked.exists(), target
            if anchor:
                headings = re.findall(r"^#+ (.*)$", linked.read_text("utf-8"), re.MULTILINE)
                assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


def test_sentences_are_short():
    found = [sentence for page in PAGES for sentence in sentences(page.read_text("utf-8"))]
    assert len(found) > 1000  # they are found at all
    long = [sentence for sentence in found if words(sentence) > WORDS]
    assert not long, "\n".join(sorted(long, key=words, reverse=True))


def test_sentences_are_told_apart():
    page = (
        "# No\n\nOne `a b` two. Three [x](y.md).\n\n- Four\n  five\n- Six\n\n```\nno\n```\n| no |\n"
        "\nUp to 1e-4. Seven.\n"
    )
    told = ["One `a b` two.", "Three `x`.", "Four five", "Six", "Up to 1e-4.", "Seven."]
    assert list(sentences(page)) == told
    assert words("One `a b` two.") == 3


def test_readme_reads_the_scores_that_it_shows(tmp_path):
    [table], [code] = blocks("README.md", "csv"), blocks("README.md", "python")[:1]
    path = tmp_path / "results/demo/tables/scores.csv"
    path.parent.mkdir(parents=True)
    path.write_text(table, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    for line in table.splitlines()[1:]:
        assert line.split(",")[7] in run.stdout  # the metric


def test_a_library_without_its_repository_says_so(tmp_path):
    inside = tmp_path / "site-packages/visae/base"
    inside.mkdir(parents=True)
    for name in ("__init__", "base/__init__", "base/repository", "base/errors"):
        source = ROOT / f"workflow_scripts/visae/{name}.py"
        (inside.parent / f"{name}.py").write_text(source.read_text("utf-8"), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-c", "import visae.base.repository"],
        env={"PYTHONPATH": str(tmp_path / "site-packages")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert "pip install -e ." in run.stderr


def test_jobs_do_not_import_what_checks_shapes():
    code = (
        "import sys, visae.probing.one_vs_rest, visae.probing.rankings\n"
        "sys.exit(bool({'jaxtyping', 'beartype'} & set(sys.modules)))"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "workflow_scripts")},
        check=True,
    )


def test_wrong_shapes_and_types_are_seen_in_tests():
    from jaxtyping import TypeCheckError

    from visae.probing.auc import roc_auc
    from visae.probing.multinomial import LinearProbe

    with pytest.raises(TypeCheckError):
        roc_auc(np.zeros((2, 3)), np.zeros(4, dtype=bool))
    with pytest.raises(TypeCheckError):
        roc_auc(np.zeros(3), np.zeros(3))
    with pytest.raises(TypeCheckError):
        LinearProbe(np.zeros((2, 3)), np.zeros(3), np.arange(2), "", True)


@pytest.mark.parametrize("hook", ["onstart", "onsuccess", "onerror"])
def test_no_hook_is_defined_twice(hook):
    # Snakemake keeps the last one, without a word.
    files = [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]
    blocks = [line for file in files for line in file.read_text("utf-8").splitlines()]
    assert blocks.count(f"{hook}:") <= 1


def test_the_page_on_formats_has_every_kind_of_seal_and_every_section_of_the_report():
    from visae.report import page

    said = " ".join((ROOT / "docs/formats.md").read_text("utf-8").split())
    code = "".join(path.read_text("utf-8") for path in ROOT.glob("workflow_scripts/**/*.py"))
    kinds = set(re.findall(r'"(visae-[a-z-]+-\d+)"', code))
    assert len(kinds) > 20
    assert not {kind for kind in kinds if f"`{kind}`" not in said}
    for sections in (page.OF_THE_PAPER, page.OF_ONES_OWN):
        assert ", ".join(f"`{name}`" for name in ("summary", *sections)) in said
