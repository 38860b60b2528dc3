"""The page of one feature: found, or made by the workflow's own rule."""

import contextlib
import difflib
from pathlib import Path

import yaml

from visae.audit.pages import features_with_images
from visae.base.errors import UserError
from visae.base.files import write_text
from visae.base.paths import Paths
from visae.command.run import command_of, run_study
from visae.interface.study import OpenStudy
from visae.study.config import write_config
from visae.study.config_files import read_config as read_file

ASKED = "look.yaml"
"""Beside a page: the study's config with the features named that were looked at."""


def page_of(sae, feature, folder=None, profile="local"):
    """The address (`file://…#{feature}`) of the page that shows a feature of an SAE on images.

    sae: `{backbone}/layer{layer}/{sae}`. folder: `results/{study}`; None for the
    only one there is, or the only one that has the SAE.
    The page is made where it does not show the feature, which the file `look.yaml` beside it then
    names. profile: that runs Snakemake.

    Raises:
        UserError: no study, SAE or feature of that name, a dead feature, or a run that failed.
    """
    study = OpenStudy(folder or _study_of(sae))
    study.check_trained(sae)
    place, _, name = sae.rpartition("/")
    page = Path(study.paths.features(name, place=place))
    shown = features_with_images(page.parent)
    if feature not in shown:
        _check_live(study, sae, feature)
        _make(study, sae, feature, page, profile)
    return f"{page.resolve().as_uri()}#{feature}"


def _study_of(sae):
    """The one study below `results` that has the SAE; of one study alone nothing is asked."""
    found = sorted(path.parent for path in Path("results").glob("*/config.yaml"))
    place, _, name = sae.rpartition("/")
    having = [path for path in found if Path(Paths(str(path)).sae(name, place=place)).exists()]
    fitting = found if len(found) == 1 else having
    if len(fitting) == 1:
        return fitting[0]
    if not found:
        there = "there is none here"
    elif having:
        there = f"{sae} is in {', '.join(map(str, having))}"
    else:
        raise UserError(f"no study below results has an SAE '{sae}': {_names(sae, found)}")
    raise UserError(f"give --study the folder of a study's results (results/…): {there}")


def _names(sae, folders):
    """In words: the SAEs of studies that are called almost so, else some."""
    names = set()
    for folder in folders:
        with contextlib.suppress(UserError):  # it is not the one that is meant
            names.update(OpenStudy(folder).saes)
    names = sorted(names)
    close = difflib.get_close_matches(sae, names, n=3) or names[:3]
    more = f" (of {len(names)})" if len(names) > len(close) else ""
    return f"there is {' or '.join(close)}{more}" if names else "train one first"


def _check_live(study, sae, feature):
    """UserError for a feature that is not there or dead, before anything runs."""
    from visae.encoding.reductions import SaeReductions

    place, _, name = sae.rpartition("/")
    path = study.paths.reductions(name, study.splits[0], place)
    if not Path(path).exists():
        return  # the run will encode first, and then say the same
    with SaeReductions(path) as reductions:
        if feature >= reductions.features:
            raise UserError(
                f"{sae} has no feature {feature}: its {reductions.features} features are numbered "
                f"0 to {reductions.features - 1}"
            )
        fires = reductions.largest.live
        if not fires[feature]:
            raise UserError(
                f"feature {feature} of {sae} is dead: it fires on no image of {study.splits[0]}; "
                f"look at a live one, {_nearest(fires, feature)}"
            )


def _nearest(fires, feature):
    """The live features whose numbers are nearest to one, in words."""
    live = sorted(map(int, fires.nonzero()[0]), key=lambda other: abs(other - feature))[:3]
    return f"such as {' or '.join(map(str, sorted(live)))}" if live else "but it has none"


def _make(study, sae, feature, page, profile):
    """Run Snakemake for the page, by the study's config with the feature named."""
    here = Path("results") / study.name
    if not (here.is_dir() and here.samefile(study.folder)):
        raise UserError(
            f"no page of {sae} shows feature {feature} yet, and one is made where the study ran: "
            f"run the same command in {study.folder.resolve().parents[1]}"
        )
    target = here / page.relative_to(study.folder)  # as the rules name it
    whole, asked = Path(study.paths.config()), page.with_name(ASKED)
    config = read_file(whole)
    pages = config.get("features") or {}
    before = read_file(asked)["features"]["named"][sae] if asked.exists() else []
    named = sorted({*pages.get("named", {}).get(sae, []), *before, feature})
    changed = config | {"features": pages | {"saes": [sae], "named": {sae: named}}}
    write_text(asked, yaml.safe_dump(changed, sort_keys=False, allow_unicode=True))
    try:
        status = run_study(command_of(asked, ["--", str(target)], profile), asked)
    finally:
        write_config(config, whole)  # the run has left its own there
    if status:
        raise UserError(f"the page of feature {feature} was not made; the lines above say why")
