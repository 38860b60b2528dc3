"""What a file in the paper's public code predicted before the paper, on print and on this run."""

from visae.products.product import Product
from visae.products.sources import (
    PUBLISHED,
    downstream,
    downstream_tasks,
    judged_claims,
    on_main,
    several_backbones,
    tables,
)
from visae.study.roles import Roles


def _reads(study, paths):
    return {
        **downstream(study, paths),
        **tables(paths, "hypotheses", "table_8"),
        "published": PUBLISHED,
    }


def _settings(study):
    roles = Roles.of(study)
    return {**on_main(study), "backbones": roles.backbones, "tasks": roles.tasks}


ENTRY = Product(
    kind="table",
    shows="predictions fixed before the paper, with other thresholds than it has",
    reads=_reads,
    settings=_settings,
    needs=(judged_claims, downstream_tasks, several_backbones),
)


def make(inputs, settings):
    from visae.tables.downstream import read_downstream, task_values
    from visae.tables.layout import read
    from visae.tables.preregistration import preregistration
    from visae.tables.published import read_published

    scores = task_values(read_downstream(inputs["downstream"]), settings["sweep"])
    paper_tasks = {f"classification_{own}": task for own, task in settings["tasks"].items()}
    return preregistration(
        read_published(inputs["published"]),
        read(inputs["hypotheses"]).rows,
        {
            paper_tasks.get(row["task"], row["task"]): row["rho"]
            for row in read(inputs["table_8"]).rows
        },
        {
            settings["backbones"][backbone]: score
            for backbone, score in scores.get("segmentation", {}).items()
            if backbone in settings["backbones"] and score is not None
        },
    )
