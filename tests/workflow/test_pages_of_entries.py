"""What the pages list of a shelf is what stands there."""

import re

from study_fixtures import ROOT, demo_config

from visae.backbones.loaders import LOADERS
from visae.evals.shelf import EVALS, metrics, paper_metrics, tasks
from visae.images.layouts import LAYOUTS
from visae.pretraining.paradigms import PARADIGMS
from visae.sae.exchange.libraries import LIBRARIES
from visae.sae.families import FAMILIES


def text(page):
    return (ROOT / page).read_text("utf-8")


def rows(page, heading):
    """The rows of the page's table whose first line starts with `heading`, as lists of cells."""
    table = text(page).partition(f"\n{heading}")[2].partition("\n\n")[0]
    lines = table.splitlines()[2:]  # without the heading's rest and the rule below it
    assert lines
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(cell):
    return re.findall(r"`([^`]+)`", cell)


def test_readme_lists_the_papers_metrics():
    listed = {
        (number, *names(name), better)
        for number, name, _, _, better, _ in rows("README.md", "| | name | one sentence")
    }
    assert listed == {
        (f"M{EVALS[name].number}", name, "higher" if EVALS[name].higher_is_better else "lower")
        for name in paper_metrics()
    }


def test_readme_has_the_seconds_that_were_measured():
    measured = {
        names(part)[0]: here.partition(" (")[0]
        for part, here, *_ in rows("docs/performance.md", "| part | here |")
        if re.match(r"M\d ", part)
    }
    shown = {
        names(name)[0]: seconds
        for _, name, *_, seconds in rows("README.md", "| | name | one sentence")
    }
    # The others come out of the pass over the images.
    assert {name: shown[name] for name in measured} == measured
    assert {shown[name] for name in set(shown) - set(measured)} == {"in the pass"}


def test_the_protocol_defines_every_metric_and_task():
    protocol = text("docs/protocol.md")
    defined = re.findall(r"^- \*\*(M\d) `(\w+)`\.\*\*", protocol, re.MULTILINE)
    assert defined == [(f"M{EVALS[name].number}", name) for name in metrics()]
    done = protocol.partition("\n## Downstream tasks")[2].partition("\n## ")[0]
    labels = re.findall(r"^- \*\*([^*.]+)\.?\*\*", done, re.MULTILINE)
    assert {label.lower() for label in labels} == set(tasks())


def test_the_data_page_lists_the_layouts_and_their_splits():
    listed = {names(name)[0]: cell for name, _, cell in rows("docs/data.md", "| layout |")}
    assert set(listed) == set(LAYOUTS)
    for layout, cell in listed.items():
        splits = LAYOUTS[layout].splits
        if splits is None:
            assert cell == "any"
        else:
            assert set(names(cell)) <= set(splits)
            assert set(names(cell)) == set(splits) or "…" in cell


def test_the_data_page_lists_the_demos_data_sets():
    listed = {names(n)[0]: names(cell)[0] for n, cell, _ in rows("docs/data.md", "| demo's data")}
    assert listed == {name: entry["layout"] for name, entry in demo_config()["datasets"].items()}


def test_the_guide_lists_families_loaders_and_paradigms():
    guide, own = text("docs/extending.md"), text("docs/own_backbone.md")
    for page, key, shelf in ((guide, "family", FAMILIES), (own, "loader", LOADERS)):
        [listed] = re.findall(rf"{key}: \w+ +# (.*) or your own", page)
        assert sorted(listed.split(", ")) == list(shelf)
    [listed] = re.findall(r"The objectives are (.*), or\n", guide)
    assert sorted(names(listed)) == list(PARADIGMS)


def test_the_page_of_published_saes_has_a_paragraph_for_every_library():
    page = text("docs/published_saes.md")
    told = {name: says for says, name in re.findall(r"\*\* \(([^()`]+); `(\w+)`\)", page)}
    assert told == {name: LIBRARIES[name].versions for name in LIBRARIES}


def test_other_pages_count_the_libraries_that_are_read():
    refused = re.findall(r"`(\w+)`\) is recognised and refused", text("docs/published_saes.md"))
    numbers = {"eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12}
    read = len(set(LIBRARIES) - set(refused))
    [all_of_them] = re.findall(r"SAEs of (\w+) libraries are read", text("CHANGELOG.md"))
    [beyond_three] = re.findall(r"(\w+) more libraries are read", text("README.md"))
    assert numbers[all_of_them] == read
    assert numbers[beyond_three] + 3 == read
