"""What MkDocs calls while it builds the site: pages are added, and links fitted.

Pages of docs/ are read on GitHub too, so that their links lead to files. Some pages lie at the
repository's root, and some are written here (`generated`).
"""

import os
import re
import sys
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(Path(__file__).parent)]

import generated  # noqa: E402 (found by the line above)

from visae.evals.shelf import metrics  # noqa: E402

FROM_ROOT = ("CONTRIBUTING.md", "CHANGELOG.md")
"""Pages that lie beside docs/."""

ELSEWHERE = {
    "README.md": "index.md",
    "README.md#the-seven-metrics": "metrics/index.md",
    "rules/schemas/config.schema.yaml": "reference/config.md",
    **{name: name for name in FROM_ROOT},
}
"""A file outside of docs/ → the page of the site that stands for it."""

LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
PART = re.compile(r"<!-- (README\.md: .+?) -->")


def on_config(config):
    """Puts the metrics into the navigation, and what it does not name at the end of guides."""
    sections = dict(pair for item in config.nav if isinstance(item, dict) for pair in item.items())
    for place, item in enumerate(sections["Concepts"]):
        if isinstance(item, dict) and "metrics" in item:
            pages = [f"metrics/{name}.md" for name in metrics()]
            sections["Concepts"][place] = {"Metrics": ["metrics/index.md", *pages]}
    place = sections["Guides"].index({"notebooks": []})
    sections["Guides"][place] = {"Notebooks": generated.notebook_names()}
    named = set(re.findall(r"[\w/]+\.md", str(config.nav)))
    sections["Guides"] += sorted({p.name for p in (ROOT / "docs").glob("*.md")} - named)
    return config


def on_files(files, config):
    """Adds the pages that do not lie in docs/."""
    pages = {name: (ROOT / name).read_text("utf-8") for name in FROM_ROOT}
    for name, text in {**pages, **generated.pages()}.items():
        if files.get_file_from_path(name) is None:
            files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Fills in what entries and the README say, and turns links to files into links to pages."""
    path = page.file.src_uri
    up = "../" * path.count("/")
    markdown = PART.sub(lambda found: _part(found[1], up), markdown)
    if path.startswith("metrics/") and (name := Path(path).stem) in metrics():
        markdown = generated.metric_page(name, markdown)
    home = ROOT if path in FROM_ROOT else ROOT / "docs" / Path(path).parent
    return LINK.sub(lambda found: f"]({_target(found[1], found[2] or '', home, up)})", markdown)


def _part(name, up):
    """A section of a page of the repository's root, without its heading, for a page below `up`."""
    file, _, heading = name.partition(": ")
    text = (ROOT / file).read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    if not text:
        raise ValueError(f"{file} has no section {heading!r}, which a page of docs/ shows")
    return LINK.sub(lambda f: f"]({up}{f[1].removeprefix('docs/')}{f[2] or ''})", text).strip()


def _target(link, anchor, home, up):
    """A link of a page in the folder `home`, as the site has it."""
    if re.match(r"\w+:", link):
        return link + anchor
    inside = Path(os.path.normpath(home / link))
    try:
        relative = inside.relative_to(ROOT).as_posix()
    except ValueError:
        return link + anchor
    for known in (relative + anchor, relative):
        if known in ELSEWHERE:
            return up + ELSEWHERE[known]
    return (up + relative.removeprefix("docs/") if home == ROOT else link) + anchor
