"""The page: everything that the study left behind, put into one HTML document."""

from dataclasses import dataclass
from pathlib import Path

from visae.audit.cards import FEATURES
from visae.base.templates import environment
from visae.evals.shelf import titles, titles_by_reason
from visae.images.index import read_index
from visae.interventions.settings import CARD_FORMAT
from visae.products.sources import counted
from visae.report.cells import gap, number, title_of
from visae.report.claims_section import read_contradictions, read_verdicts
from visae.report.curves import HEIGHT, WIDTH
from visae.report.figures_section import read_figures
from visae.report.match_pages import match_pages
from visae.report.not_made import absent_evals, products_not_made
from visae.report.provenance_section import read_provenance
from visae.report.sae_pages import sae_pages
from visae.report.saes import sae_views
from visae.report.summary import summarise
from visae.report.tables_section import read_tables
from visae.report.thumbnails import SIDE, draw_sheet
from visae.study import roles
from visae.tables.layout import read
from visae.tables.published import read_published
from visae.tables.scores import read_scores

HERE = Path(__file__).parent

OF_THE_PAPER = (
    *("figures", "claims", "tables", "saes", "features", "matches", "interventions"),
    *("not_made", "contradictions", "provenance"),
)
OF_ONES_OWN = (
    *("saes", "features", "matches", "interventions", "figures", "tables"),
    *("not_made", "provenance"),
)
"""The sections in their order: of a study that the paper's claims are judged on, of any other.

Those on features, matches and interventions are there if some have pages.
"""


@dataclass(frozen=True)
class Sources:
    """The files that the page is made of (see docs/formats.md)."""

    figures: list
    """PNG."""
    tables: list
    """JSON: `table_3` is among them where it is made, and `claims` where those are judged."""
    tidy: list
    """CSV: `scores` and, if the study has tasks, `downstream`."""
    saes: dict
    """(place, SAE) → its `SaeFiles` (`visae.report.saes`), of every SAE of the study."""
    sae_configs: list
    """`config.yaml` of one SAE per sweep and backbone."""
    index: str
    classes: str
    """Of the evaluation split."""
    claims: str
    published: str
    contradictions: str
    """Files of the repository: claims, published numbers, docs/inconsistencies.md."""
    benchmarks: str
    """The folder of the jobs' records; what is there is shown."""
    cards: dict
    """(place, SAE) → `card.json` of its pages, of the SAEs that have some."""
    matches: dict
    """(SAE, SAE), by their full names → `card.json` of their page, of those that have one."""
    edited: dict
    """(place, SAE) → `card.json` of its page, of the SAEs whose features are edited."""


def build(study, sources, captions, not_made):
    """The page of `study` as HTML.

    captions: figure → (what it shows, a clause; over how many, a sentence). not_made: table or
    figure → (its kind, what it shows, why there is none).
    """
    paths = {Path(path).stem: path for path in (*sources.tables, *sources.tidy)}
    scores = read_scores(paths["scores"])
    judged = roles.judged(study)
    views = sae_views(study, scores, sources.saes)
    pictures = _pictures(study, sources, views)
    of_pages = {
        "features": sae_pages(
            study, roles.on_pages(study), sources.cards, FEATURES, study.paths.features
        ),
        "matches": match_pages(study, sources.matches),
        "interventions": sae_pages(
            study, roles.edited(study), sources.edited, CARD_FORMAT, study.paths.interventions
        ),
    }
    sections = OF_THE_PAPER if judged else OF_ONES_OWN
    return _environment().get_template("page.html.jinja").render(
        study=study,
        sections=[name for name in sections if of_pages.get(name, True)],
        **of_pages,
        summary=summarise(
            study,
            views,
            read(paths["table_3"]).rows if "table_3" in paths else [],
            read_published(sources.published) if judged else {},
        ),
        figures=read_figures(sources.figures, captions),
        tables=[t for t in read_tables(sources.tables, sources.tidy) if t.name != "claims"],
        claims=read_verdicts(paths["claims"], sources.claims) if judged else None,
        contradictions=read_contradictions(sources.contradictions) if judged else None,
        saes=views,
        metrics=titles(study.asked()),
        absent=absent_evals(study),
        not_made=products_not_made(not_made),
        lower_is_better=_lower_is_better(scores),
        unscored=gap("its sweep is not scored on this metric"),
        images={record.image_id: record for record in pictures},
        sheet=draw_sheet(pictures, study.config["datasets"][study.evaluation.dataset]["root"]),
        provenance=read_provenance(
            study.config, _localization(sources), sources.sae_configs, sources.benchmarks
        ),
    )  # fmt: skip


def _localization(sources):
    """The M1 scores of the main sweep, from which the page reads what was run."""
    found = [files.scores.get("localization") for files in sources.saes.values()]
    return [path for path in found if path is not None]


def _lower_is_better(rows):
    return {row["metric"] for row in rows if row["higher_is_better"] is False}


def _pictures(study, sources, views):
    """The index's records of the images that examples show, in the order of the index."""
    shown = {image for view in views for example in view.examples for image, _ in example.images}
    index = read_index(sources.index, sources.classes)
    return [record for record in index.images if record.image_id in shown]


def _percent(share):
    return "–" if share is None else f"{100 * share:.0f} %"


def _environment():
    made = environment(HERE / "templates", HERE / "assets", html=True)
    made.globals |= {"panel": {"width": WIDTH, "height": HEIGHT}, "side": SIDE}
    made.filters |= {
        "number": number,
        "percent": _percent,
        "counted": counted,
        "plain": lambda value: f"{value:g}".replace("-", "−"),
        "title_of": title_of,
        "titles_by_reason": titles_by_reason,
    }
    return made
