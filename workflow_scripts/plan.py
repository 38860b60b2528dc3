"""Count what the study costs; show it on the terminal, keep it in `results/<study>/plan/`."""

import shutil
from pathlib import Path

from visae.backbones import geometry
from visae.backbones.measuring import measured
from visae.base.files import write_text
from visae.base.job import run
from visae.plan.images import count_images
from visae.plan.page import details, summary, write_rows
from visae.plan.work import stages
from visae.study.study import Study


def body(snakemake):
    study, folder = Study(snakemake.params.config), Path(snakemake.params.folder)
    folder.mkdir(parents=True, exist_ok=True)
    geometries = geometry.complete(study.backbones, folder / "geometry.json", measured)
    counts = count_images(study, folder.parent)
    rows = stages(study, geometries, counts)
    speeds = study.config["planning"]
    shown = summary(study, geometries, counts, rows, shutil.disk_usage(folder).free)
    write_text(
        folder / "plan.md", f"# Plan of the study {study.name}\n\n{shown}{details(rows, speeds)}"
    )
    write_rows(folder / "plan.csv", rows, speeds)
    return f"\n{shown}\nBy backbone, block and sweep: {folder}/plan.md, {folder}/plan.csv\n"


run(body, snakemake)  # noqa: F821
