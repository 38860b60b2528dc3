"""The documentation as a site: whole, read without a network, and true to what it is made from."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from browser_fixtures import chromium
from study_fixtures import ROOT

from visae.evals.shelf import EVALS, metrics, paper_metrics
from visae.study.config import load_schema

FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
"""Tags that make a browser fetch something."""

READ = ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "workflow_scripts", "rules")


def build(repository, site):
    # Not with --quiet, which keeps warnings from being counted as well.
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)],
        cwd=repository,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="session")
def site(shared):
    def made(folder):
        run = build(ROOT, folder)
        assert run.returncode == 0, run.stderr
        assert "WARNING" not in run.stderr

    return shared("site", made)


def text_of(page):
    """What a reader sees of a page."""
    return " ".join(re.sub(r"<[^>]+>", "", page.read_text("utf-8")).split())


class Fetched(HTMLParser):
    """The addresses that a page makes a browser fetch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag in FETCHED and values.get("rel") not in ("canonical", "next", "prev"):
            self.found.append(values.get(FETCHED[tag]) or "")


def test_nothing_is_fetched_from_a_network(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        parser = Fetched()
        parser.feed(page.read_text("utf-8"))
        assert parser.found
        assert not [a for a in parser.found if re.match(r"(\w+:)?//", a)], page
    for style in site.rglob("*.css"):
        assert not re.findall(r"url\(['\"]?(?:\w+:)?//", style.read_text("utf-8")), style


def test_links_that_lead_nowhere_are_errors_and_new_pages_are_listed(tmp_path):
    for name in READ:
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    links = ("nowhere.md", "glossary.md#no-such-heading", "../no/file.md")
    text = "\n".join(f"[here]({link})" for link in links)
    (tmp_path / "docs/new.md").write_text(f"# New\n\n{text}\n", "utf-8")
    run = build(tmp_path, tmp_path / "site")
    assert run.returncode == 1
    for link in links:
        assert f"'new.md' contains a link '{link}'" in run.stderr, link
    assert run.stderr.count("WARNING") == len(links)  # none for want of a place


def test_the_navigation_has_each_page_once():
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    pages = re.findall(r"[\w/]+\.md", nav)
    assert len(pages) > 20
    assert len(set(pages)) == len(pages)


def test_every_metric_has_a_page_with_what_its_entry_and_the_protocol_say(site):
    protocol = (ROOT / "docs/protocol.md").read_text("utf-8")
    for name in metrics():
        entry, page = EVALS[name], site / f"metrics/{name}.html"
        shown = text_of(page)
        assert entry.title in shown
        start = entry.definition.partition("{")[0].replace(">", "&gt;").replace("<", "&lt;")
        assert start[1:].strip() in shown
        assert all(f"metrics.{name}.{setting}" in shown for setting in entry.settings)
        if name in paper_metrics():
            assert f'src="{name}.webp"' in page.read_text("utf-8")
            item = protocol.partition(f"`{name}`.**")[2].partition(".")[0]
            assert " ".join(re.sub(r"[`*]", "", item).split()[:6]) in shown


def test_a_metric_without_a_page_of_its_own_has_one_nevertheless():
    sys.path.insert(0, str(ROOT / "docs/site"))
    try:
        import generated
    finally:
        sys.path.pop(0)
    for name in metrics():
        title = generated.pages()[f"metrics/{name}.md"]
        assert EVALS[name].definition.partition("{")[0][1:] in generated.metric_page(name, title)


def test_pictures_of_metrics_are_small():
    pictures = list((ROOT / "docs/metrics").glob("*.webp"))
    assert {picture.stem for picture in pictures} == set(paper_metrics())
    assert max(picture.stat().st_size for picture in pictures) <= 60_000


def keys(schema, root):
    """Every key that may be written in a config."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for name, below in schema.get("properties", {}).items():
        yield name
        yield from keys(below, root)
    for below in (schema.get("additionalProperties"), schema.get("items")):
        if isinstance(below, dict):
            yield from keys(below, root)


def test_the_reference_has_every_key_of_the_config(site):
    schema = load_schema()
    page = (site / "reference/config.html").read_text("utf-8")
    shown = set(re.findall(r"<dt><code>(?:[^<]*\.)?(\w+)</code>", page))
    assert len(shown) > 60
    assert set(keys(schema, schema)) == shown


def test_the_reference_has_the_public_methods(site):
    from visae.interface.sae import OpenSae
    from visae.interface.study import OpenStudy

    page = (site / "reference/api.html").read_text("utf-8")
    for owner in (OpenStudy, OpenSae):
        names = [name for name in vars(owner) if not name.startswith("_")]
        assert len(names) > 5
        for name in names:
            assert f'id="{owner.__module__}.{owner.__name__}.{name}"' in page


def test_the_site_is_read_on_a_phone_and_searched_without_a_server(site, tmp_path):
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    with chromium(tmp_path) as browser:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        for page in (
            *site.glob("*/*.html"),
            *(site / name for name in ("index.html", "data.html")),
        ):
            browser.get(page.as_uri())
            width = browser.execute_script("return document.documentElement.scrollWidth")
            assert width == 390, page
        browser.get((site / "index.html").as_uri())
        browser.find_element("css selector", "label[for=__search].md-header__button").click()
        browser.find_element("css selector", "input.md-search__input").send_keys("monosemanticity")
        browser.implicitly_wait(10)
        found = browser.find_element("css selector", ".md-search-result__link")
        assert "monosemanticity" in found.get_attribute("href")
