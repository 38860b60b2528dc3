"""Count what the study costs; show it on the terminal, keep it in `results/<study>/plan/`."""

import shutil
from pathlib import Path

from visae.backbones.measuring import measured
from visae.base.files import write_text
from visae.base.job import run
from visae.plan import feasible
from visae.plan.geometries import geometries
from visae.plan.images import count_images
from visae.plan.page import details, summary, write_rows
from visae.plan.work import stages
from visae.study.study import Study


def body(snakemake):
    study = Study(snakemake.params.config)
    page, table = study.paths.plan("plan.md"), study.paths.plan("plan.csv")
    folder = Path(page).parent
    folder.mkdir(parents=True, exist_ok=True)
    shapes = geometries(study, measured)
    counts = count_images(study, study.paths.results)
    feasible.check(study, shapes, counts)
    rows = stages(study, shapes, counts)
    speeds = study.config["planning"]
    shown = summary(study, shapes, counts, rows, shutil.disk_usage(folder).free)
    write_text(page, f"# Plan of the study {study.name}\n\n{shown}{details(rows, speeds)}")
    write_rows(table, rows, speeds)
    return f"\n{shown}\nBy backbone, block and sweep: {page}, {table}\n"


run(body, snakemake)  # noqa: F821
