"""The environments of rules (conda), of tests and of the container hold the same versions."""

import ast
import functools
import operator
import re
import sys

import pytest
import yaml
from study_fixtures import ROOT

from visae.products import PRODUCTS

ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
# What the rules' scripts import by another name than that under which it is installed.
INSTALLED_AS = {
    "PIL": "pillow",
    "huggingface_hub": "transformers",  # brings it
    "llvmlite": "numba",  # brings it
    "markupsafe": "jinja2",  # brings it
    "open_clip": "open_clip_torch",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "zlib_ng": "zlib-ng",
}


def pinned(lines):
    """Package → version of lines like `name==version`; every line must be one."""
    found = {}
    for line in lines:
        name, version = re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups()
        found[name] = version
    return found


def requirements(name="requirements.txt"):
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return pinned(line for line in lines if line)


def of_environment(path):
    *others, pip = yaml.safe_load(path.read_text())["dependencies"]
    assert others == ["python =3.11", "pip"]
    return pinned(pip["pip"])


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_versions_are_those_of_the_requirements(path):
    versions = of_environment(path)
    assert versions
    assert versions == {name: requirements().get(name) for name in versions}


def test_tests_bring_nothing_of_the_workflow_in_another_version():
    assert not set(requirements("requirements-dev.txt")) & set(requirements())


def test_rules_have_no_other_environments():
    named = {
        name
        for path in (ROOT / "rules").glob("*.smk")
        for name in re.findall(r'"\.\./envs/(\w+\.yaml)"', path.read_text())
    }
    assert named == {path.name for path in ENVIRONMENTS}


def scripts_of(environment):
    """The scripts that rules run in an environment: a rule names it, and then the script."""
    ran = {path.stem: set() for path in ENVIRONMENTS}
    for path in (ROOT / "rules").glob("*.smk"):
        _, *parts = re.split(r'"\.\./envs/(\w+)\.yaml"', path.read_text())
        for name, rest in zip(parts[::2], parts[1::2], strict=True):
            ran[name].add(re.search(r'"\.\./workflow_scripts/(.*?)\.py"', rest)[1])
    everything = {path.stem for path in (ROOT / "workflow_scripts").glob("*.py")}
    assert ran[environment] <= everything
    scripts = [ROOT / "workflow_scripts" / f"{script}.py" for script in sorted(ran[environment])]
    # What a script loads by name, no import of it shows.
    by_name = [path for name in PRODUCTS for path in PRODUCTS.files(name)]
    return scripts + (by_name if "make_product" in ran[environment] else [])


@functools.cache
def imported_names(path, nodes):
    """The dotted names that a module may import, in the `nodes` of its tree."""
    names = []
    for node in nodes(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def imported_packages(path, seen, nodes=ast.walk):
    """What a script imports, by itself and through modules of visae.

    nodes: of a module's tree, those to look at: all of them, or the statements run at its start.
    """
    for name in imported_names(path, nodes):
        if name.split(".")[0] != "visae":
            yield name.split(".")[0]
            continue
        base = ROOT.joinpath("workflow_scripts", *name.split("."))
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file not in seen and file.is_file():
                seen.add(file)
                yield from imported_packages(file, seen, nodes)


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_environment_has_what_its_scripts_import(path):
    def missing(nodes):
        imported = {
            package
            for script in scripts_of(path.stem)
            for package in imported_packages(script, set(), nodes)
        }
        imported -= set(sys.stdlib_module_names)
        return {INSTALLED_AS.get(name, name) for name in imported} - set(of_environment(path))

    assert not missing(operator.attrgetter("body"))
    checkers = {"jaxtyping"}  # type checkers and tests import it, no job does
    # Tables and figures take constants and arrays' forms from modules whose probes use torch.
    unneeded = checkers | ({"torch"} if path.stem == "analysis" else set())
    assert missing(ast.walk) <= unneeded


def test_container_installs_the_requirements():
    recipe = (ROOT / "Dockerfile").read_text()
    assert "COPY requirements.txt" in recipe
    assert not re.search(r"==\d", recipe)
