"""The report: one page that holds all of a study, needs nothing else, and works in a browser."""

import base64
import io
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from browser_fixtures import chromium
from match_fixtures import match_card
from PIL import Image
from report_fixtures import (
    CAPTIONS,
    FEATURES,
    HOSTILE,
    IMAGES,
    UNDEFINED,
    build_page,
    codes_of,
    colour,
    write_log,
    write_study,
)
from study_fixtures import ROOT

from visae.audit.cards import MATCHES, write_card
from visae.audit.choice import audit_features
from visae.evals.shelf import EVALS
from visae.report.curves import HEIGHT, WIDTH, read_curves
from visae.report.features import example_features
from visae.report.provenance_section import commit
from visae.report.thumbnails import SIDE
from visae.study import roles
from visae.tables.scores import read_scores


class Parsed(HTMLParser):
    """The elements of a page: (tag, attributes), and the text of the whole."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.words.append(" " if tag in ("tr", "td") else "")

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(study, sources) of the small study."""
    return write_study(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(written):
    return build_page(*written)


@pytest.fixture(scope="module")
def parsed(page):
    return Parsed(page)


# ---------------------------------------------------------------- a study of one's own


@pytest.fixture(scope="module")
def own_page(tmp_path_factory):
    """The page of a study that has two of the paper's five backbones."""
    return build_page(*write_study(tmp_path_factory.mktemp("own"), report={"claims": "auto"}))


def test_own_study_leads_with_its_scores_and_has_no_claims(own_page, parsed):
    own = Parsed(own_page)
    ids = [attributes["id"] for attributes in own.all("section")]
    assert ids == ["summary", "saes", "figures", "tables", "not_made", "provenance"]
    assert "Of the paper’s" not in own.text
    assert "The paper’s parts" not in own.text
    judged = [attributes["id"] for attributes in parsed.all("section")]
    assert {"claims", "contradictions"} <= set(judged)
    links = {attributes["href"].removeprefix("#") for attributes in own.all("a")}
    assert links <= {attributes["id"] for _, attributes in own.elements if "id" in attributes}


def test_best_of_each_metric_is_found_by_its_direction(written, own_page):
    _, sources = written
    rows = [
        row
        for row in read_scores(next(path for path in sources.tidy if path.stem == "scores"))
        if row["reading"] == "headline" and row["value"] is not None
    ]
    for metric, choose, arrow in (("localization", max, "↑"), ("fvu", min, "↓")):
        best = f"{choose(row['value'] for row in rows if row['metric'] == metric):.4f}"
        label = EVALS[metric].title
        assert f"{label}\xa0{arrow}</th>" in own_page.replace("&nbsp;", "\xa0")
        cell = own_page.split(f"{label}&nbsp;{arrow}</th>")[1].split("</td>")[0]
        assert cell.endswith(best.replace("-", "−"))


# ---------------------------------------------------------------- the page as a document


def test_every_link_leads_to_one_place_in_the_page(parsed):
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for attributes in parsed.all("a")]
    assert len(links) > 20
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_nothing_is_loaded_from_elsewhere(page, parsed):
    for tag, attributes in parsed.elements:
        for name in ("src", "srcset", "href", "data", "action", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value[:80])
    assert {url[:5] for url in re.findall(r"url\((.{5})", page)} == {"data:"}
    for forbidden in ("http://", "https://", "@import", "fetch(", "XMLHttpRequest", "import("):
        assert forbidden not in page


def test_every_figure_is_in_with_its_caption(written, parsed):
    _, sources = written
    images = {attributes["src"]: attributes["alt"] for attributes in parsed.all("img")}
    assert len(images) == len(CAPTIONS)
    for path in sources.figures:
        source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
        assert CAPTIONS[path.stem][0] in images[source].lower()
    titles = [attributes["alt"].split(":")[0] for attributes in parsed.all("img")]
    assert titles == ["Figure 1a", "Figure 4", "Evaluators"]
    assert "n = 4 SAEs of sweep main." in parsed.text
    assert "n = 2 SAEs, one per arm." in parsed.text


def test_every_table_is_in_and_the_papers_come_first(written, parsed):
    _, sources = written
    articles = [attributes["id"] for attributes in parsed.all("article")]
    paths = [*sources.tables, *sources.tidy]
    assert set(articles) == {f"table-{p.stem}" for p in paths if p.stem != "claims"}
    assert articles[:2] == ["table-table_1", "table-table_3"]
    assert "Table 1: a | b" in parsed.text
    assert "A note." in parsed.text


def test_cells_are_rounded_like_markdown_and_sorted_like_csv(page):
    assert re.search(r'<td class="number" data-sort="10.126">10.13</td>', page)
    assert re.search(r'<td class="number" data-sort="-2.0">−2.00</td>', page)


def test_gap_says_why(parsed):
    gaps = [attributes for attributes in parsed.all("span") if attributes.get("class") == "gap"]
    # Once in table_1, once for the claim, and twice (overview and view) for the SAE's FVU.
    reasons = [attributes["title"] for attributes in gaps]
    assert reasons.count(UNDEFINED) >= 4
    assert all(attributes["tabindex"] == "0" and attributes["title"] for attributes in gaps)


def test_text_is_escaped(page, parsed):
    assert HOSTILE not in page
    assert " ".join(HOSTILE.split()) in parsed.text
    assert len(parsed.all("script")) == 1


def test_headline_tells_what_was_run_and_found(parsed):
    assert "4 sparse autoencoders on 2 vision backbones" in parsed.text
    assert "photographs/val" in parsed.text
    assert "Of the paper’s 3 claims, 1 are reproduced, 1 differ, 1 are not computable here." in (
        parsed.text
    )


def test_contradictions_are_all_there(page):
    rows = re.findall(r"^\| \d+ \|", (ROOT / "docs/inconsistencies.md").read_text("utf-8"), re.M)
    section = page[page.index('id="contradictions"') : page.index('id="provenance"')]
    assert section.count("<tr><td>") == len(rows)
    assert "<code>hyperparameters_dominate_fvu_only</code>" in section


def test_equal_inputs_give_an_equal_page(written, page):
    assert build_page(*written) == page


def test_page_needs_no_torch():
    command = "import sys, visae.report.page; sys.exit('torch' in sys.modules)"
    folder = ROOT / "workflow_scripts"
    assert subprocess.run([sys.executable, "-c", command], cwd=folder).returncode == 0


# ---------------------------------------------------------------- what it is made of


def test_examples_follow_the_rule_and_the_codes(written):
    study, sources = written
    number = 2
    sae = study.saes()[number]
    files = sources.saes[sae.place, sae.name]
    examples = example_features(files.scores, files.reductions)
    assert [example.metric for example in examples] == ["M1", "M1", "M5", "M5"]
    moran = np.linspace(-0.1, 0.5 + 0.01 * number, FEATURES)
    assert [example.feature for example in examples[:2]] == list(audit_features(moran).values())
    # M5 scores every other feature: rows of its arrays are not features.
    values = np.linspace(0.2, 0.9, FEATURES // 2)
    expected = [2 * row for row in audit_features(values).values()]
    assert [example.feature for example in examples[2:]] == expected
    for example in examples:
        order = np.argsort(-codes_of(number)[example.feature])[:4]
        assert [image for image, _ in example.images] == [f"image_{i:02d}" for i in order]
        assert example.images[0][1] == 8


def test_each_image_is_embedded_once_and_shown_in_its_place(page, parsed):
    sheets = re.findall(r"url\(data:image/webp;base64,([^)]+)\)", page)
    assert len(sheets) == 1
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheets[0]))).convert("RGB"))
    shown = [a for a in parsed.all("span") if a.get("class") == "thumbnail"]
    assert len(shown) == 4 * 4 * 4
    places = {attributes["style"] for attributes in shown}
    assert len(places) <= IMAGES
    colours = np.array([colour(number) for number in range(IMAGES)])
    found = set()
    for style in places:
        column, row = map(int, re.fullmatch(r"--x:(\d+);--y:(\d+)", style).groups())
        tile = sheet[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        distance = np.abs(colours - tile[8:-8, 8:-8].mean((0, 1))).max(axis=1)
        assert distance.min() < 8
        found.add(int(distance.argmin()))
    assert len(found) == len(places)


def test_curves_run_from_the_first_window_to_the_last(written):
    study, sources = written
    first, *_, last = (sources.saes[sae.place, sae.name].log for sae in study.saes())
    loss, l0, dead = read_curves(first).panels
    # Three windows; on a logarithmic axis a tenfold fall per window is a straight line.
    assert loss.points == f"{WIDTH / 3:.1f},0.0 {WIDTH * 2 / 3:.1f},{HEIGHT / 2:.1f} 180.0,64.0"
    assert (loss.first, loss.last, loss.logarithmic) == ("1", "0.01", True)
    # These axes start at 0: a constant L0 lies at the top, and rounding is not magnified.
    assert {point.split(",")[1] for point in l0.points.split()} == {"0.0"}
    assert l0.low == "0"
    assert (dead.low, dead.high) == ("0", "0.5")
    assert loss.alone is None
    assert read_curves(last) is None


def test_long_log_is_thinned_and_keeps_its_end(tmp_path):
    line = '{{"step": {0}, "loss": {0}, "l0": 1, "dead_fraction": 0}}\n'
    path = write_log(tmp_path, "".join(line.format(step) for step in range(1, 1001)))
    curves = read_curves(path)
    points = curves.panels[0].points.split()
    assert 100 <= len(points) <= 121
    assert points[-1] == f"{WIDTH:.1f},0.0"


def test_only_point_is_drawn_as_a_dot(tmp_path):
    path = write_log(tmp_path, '{"step": 1, "loss": 2.0, "l0": 8.0, "dead_fraction": 0}\n')
    loss, l0, dead = read_curves(path).panels
    assert [panel.alone for panel in (loss, l0, dead)] == [
        (f"{WIDTH:.1f}", f"{HEIGHT / 2:.1f}"),
        (f"{WIDTH:.1f}", "0.0"),
        (f"{WIDTH:.1f}", f"{HEIGHT / 2:.1f}"),
    ]


def test_config_is_shown_as_it_ran(written, page):
    text = re.search(r'<pre class="config"[^>]*>(.*?)</pre>', page, re.DOTALL)[1]
    parser = Parsed(text)
    assert yaml.safe_load("".join(parser.words)) == written[0].config


def test_time_and_memory_are_those_of_the_last_run(parsed):
    # train/main ran twice (60 s the last time), quick was too short to be measured.
    assert "2 jobs, 1 min 0 s in all" in parsed.text
    assert "train 1 60.0 90.0 512 quick 1 0.0 – –" in parsed.text


def test_page_without_records_of_jobs_says_so(written, tmp_path):
    study, sources = written
    text = Parsed(build_page(study, replace(sources, benchmarks=tmp_path))).text
    assert "There are no records below benchmarks/" in text


def test_commit_and_changes_since(tmp_path):
    assert commit(tmp_path) is None

    def git(*arguments):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "first")
    assert re.fullmatch(r"[0-9a-f]{40}", commit(tmp_path).name)
    assert not commit(tmp_path).changed
    (tmp_path / "file").write_text("2")
    assert commit(tmp_path).changed


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory):
    """Headless Chromium with the page loaded from disk."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "index.html").write_text(page, encoding="utf-8")
    with chromium(folder) as driver:
        driver.get((folder / "index.html").as_uri())
        yield driver


def _column(browser, table, column):
    script = (
        f"return [...document.querySelectorAll('{table} tbody tr')].filter(r => !r.hidden)"
        f".map(r => r.cells[{column}].textContent.trim())"
    )
    return browser.execute_script(script)


def _click(browser, selector):
    browser.execute_script(f"document.querySelector({selector!r}).click()")


def test_heading_sorts_by_exact_values_with_gaps_last(browser):
    table = "#table-table_1"
    heading = f"{table} th:nth-child(2) button"
    assert _column(browser, table, 1) == ["10.13", "–", "−2.00"]
    _click(browser, heading)
    assert _column(browser, table, 1) == ["−2.00", "10.13", "–"]
    _click(browser, heading)
    assert _column(browser, table, 1) == ["10.13", "−2.00", "–"]
    sorted_by = browser.execute_script(
        f"return [...document.querySelectorAll('{table} th')].map(h => h.getAttribute('aria-sort'))"
    )
    assert sorted_by == [None, "descending", None]


def test_gaps_among_words_come_last_too(browser):
    table = "#table-table_1"
    for _ in range(2):
        _click(browser, f"{table} th:nth-child(3) button")
        assert _column(browser, table, 2) == [UNDEFINED, "", ""]


def test_claims_are_filtered_by_verdict_and_text(browser):
    table = "#claims-table"
    assert len(_column(browser, table, 0)) == 3
    _click(browser, '#claims button[data-value="differs"]')
    assert _column(browser, table, 4) == ["differs"]
    _click(browser, '#claims button[data-value=""]')
    browser.execute_script(
        "const input = document.querySelector('#claims input'); input.value = 'third';"
        "input.dispatchEvent(new Event('input'))"
    )
    assert [claim[:6] for claim in _column(browser, table, 0)] == ["Third."]


def test_long_table_is_drawn_when_opened(browser):
    table = "#rows-downstream"
    assert _column(browser, table, 0) == []
    _click(browser, "#table-downstream summary")
    browser.implicitly_wait(5)
    browser.find_element("css selector", f"{table} tbody tr")
    assert len(_column(browser, table, 0)) == 500
    assert _column(browser, table, 2)[8] == 'row 8, "quoted"'
    gap = browser.execute_script(
        f"return document.querySelector('{table}').tBodies[0].rows[7].cells[0].title"
    )
    assert gap == "seven"
    _click(browser, f"{table} th:first-child button")
    assert _column(browser, table, 0)[:8] == ["0.5"] * 7 + ["1.5"]


def test_links_lead_to_what_can_be_seen(browser):
    targets = browser.execute_script(
        "return [...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"
    )
    missing = [t for t in targets if not browser.execute_script(
        "return Boolean(document.getElementById(arguments[0].slice(1)))", t)]  # fmt: skip
    assert not missing
    link = next(target for target in targets if target.startswith("#sae-"))
    assert not browser.execute_script("return document.getElementById(arguments[0]).open", link[1:])
    _click(browser, f'a[href="{link}"]')
    browser.implicitly_wait(5)
    browser.find_element("css selector", f'[id="{link[1:]}"][open]')


def test_verdicts_are_on_a_narrow_screen(browser):
    metrics = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    ends = browser.execute_script(
        "return [...document.querySelectorAll('#claims .verdict')]"
        ".filter(v => v.offsetParent)"
        ".map(v => v.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    assert ends
    assert all(0 <= left < right <= 390 for left, right in ends)


@pytest.mark.parametrize("width", [400, 1400])
def test_page_is_not_wider_than_its_window(browser, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


# ---------------------------------------------------------------- what is not made


def test_what_is_not_made_is_listed_with_its_reason(parsed, page):
    assert "Figure 9 figure: what there is not compares backbones, and there is one" in parsed.text


def test_what_is_not_computed_leads_the_page(tmp_path):
    study, sources = write_study(tmp_path)
    study.absent = {
        "preservation": "needs labels: data set own has none",
        "absorption": "needs labels: data set own has none",
    }
    text = Parsed(build_page(study, sources)).text
    words = "M3 Preservation, M7 Absorption (needs labels: data set own has none)"
    assert f"Not computed: {words}." in text
    assert "without a value in every figure" in text
    assert "M3 Preservation metric needs labels: data set own has none" in text


def test_a_study_on_m2_alone_with_one_configuration_has_a_page(tmp_path):
    study, sources = write_study(tmp_path)
    files = {sae: replace(own, scores={}) for sae, own in sources.saes.items()}
    tables = [path for path in sources.tables if path.stem != "table_3"]
    text = Parsed(build_page(study, replace(sources, saes=files, tables=tables, figures=[]))).text
    assert "Example features" not in text
    assert "Share of each metric" not in text
    assert "Best of each metric" in text
    assert "The sweep main is not scored on M1" in text


def test_matches_have_a_picture_and_a_line_with_a_link(tmp_path, written):
    study, sources = written
    pixels, cards = np.full((40, 60, 3), 90, np.uint8), {}
    for (left, right), share in zip(roles.matched(study), (0.25, 0.75), strict=True):
        pair = left.full_name, right.full_name
        path = tmp_path / study.paths.matches(*pair, "card.json")
        write_card(path, MATCHES, match_card(*pair, share=share), pixels)
        cards[pair] = path
    page = Parsed(build_page(study, replace(sources, matches=cards)))
    links = [a["href"] for a in page.all("a") if a["href"].startswith("../matches/")]
    pages = [f"../matches/{path.parent.name}/index.html" for path in cards.values()]
    # Two backbones come before two SAEs of one, whose features have more in common.
    assert links == [*pages, *pages]
    assert "DINO (small) and DeiT (small) : 2 matches" in page.text.replace(":", " :")
    assert "12 % and 25 % of live features (2 % with images shuffled), median r = 0.75" in page.text
    pictures = [i for i in page.all("img") if "feature 3 of DINO" in i["alt"]]
    assert len(pictures) == 2
    for picture in pictures:
        assert (picture["width"], picture["height"]) == ("60", "40")
        assert picture["src"].startswith("data:image/webp;base64,")
    assert "matches" in [a["href"].removeprefix("#") for a in page.all("a")]


def test_a_report_without_matches_has_no_section_on_them(parsed):
    assert "#matches" not in [a["href"] for a in parsed.all("a")]
