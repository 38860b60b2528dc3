"""The page of one feature: found, or made by the workflow's own rule."""

from pathlib import Path

import yaml

from visae.audit.pages import features_with_images
from visae.base.errors import UserError
from visae.base.files import write_text
from visae.command.run import command_of, run_study
from visae.interface.study import OpenStudy
from visae.study.config import write_config
from visae.study.config_files import read_config as read_file

ASKED = "look.yaml"
"""Beside a page: the study's config with the features named that were looked at."""


def page_of(sae, feature, folder=None, profile="local"):
    """The address (`file://…#{feature}`) of the page that shows a feature of an SAE on images.

    sae: `{backbone}/layer{layer}/{sae}`. folder: `results/{study}`; None for the only one there is.
    The page is made where it does not show the feature, which the file `look.yaml` beside it then
    names. profile: that runs Snakemake.

    Raises:
        UserError: no study, SAE or feature of that name, a dead feature, or a run that failed.
    """
    study = OpenStudy(folder or _only_study())
    study.check_trained(sae)
    place, _, name = sae.rpartition("/")
    page = Path(study.paths.features(name, place=place))
    shown = features_with_images(page.parent)
    if feature not in shown:
        _check_live(study, sae, feature)
        _make(study, sae, feature, page, profile)
    return f"{page.resolve().as_uri()}#{feature}"


def _only_study():
    found = sorted(path.parent for path in Path("results").glob("*/config.yaml"))
    if len(found) != 1:
        there = f"there are {', '.join(map(str, found))}" if found else "there is none here"
        raise UserError(f"give --study the folder of a study's results (results/…): {there}")
    return found[0]


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
        if not reductions.largest.codes[feature].any():
            raise UserError(
                f"feature {feature} of {sae} is dead: it fires on no image of {study.splits[0]}; "
                "look at a live one (features.csv beside the pages lists them)"
            )


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
