"""Jinja templates that lie in folders of the library, for pages and configs that are written."""

from pathlib import Path

import jinja2
from markupsafe import Markup


def environment(folder: Path, assets: Path | None = None, html: bool = False, shared=()):
    """The environment of the templates in `folder`: what a template lacks is an error.

    assets: a folder whose files are `assets[name]` in templates, as they are. html: whether values
    are escaped for a page. shared: further pairs of such folders, whose templates are extended.
    """
    folders = [folder, *(templates for templates, _ in shared)]
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not html,
    )
    if assets:
        made.globals["assets"] = {
            path.name: Markup(path.read_text(encoding="utf-8"))
            for own in (*(of_shared for _, of_shared in shared), assets)
            for path in own.iterdir()
        }
    return made
