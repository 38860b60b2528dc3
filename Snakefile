import sys
from pathlib import Path

from snakemake.logging import logger
from snakemake.settings.enums import Quietness
from snakemake.utils import min_version

min_version("9.20")

sys.path.insert(0, str(Path(workflow.basedir) / "workflow_scripts"))

from visae.base import terminal
from visae.base.errors import UserError
from visae.base.terminal import Refusal
from visae.study import config_files

terminal.show_what_matters(logger, quiet=Quietness.ALL in (workflow.output_settings.quiet or ()))

# YAML takes the last of two equal keys in silence. Of a config.yaml that is no YAML Snakemake says no line.
if workflow.is_main_process:
    try:
        for path in workflow.overwrite_configfiles or ["config.yaml"]:
            config_files.check_unique(path)
    except UserError as error:
        raise Refusal(str(error)) from None

# A config file given on the command line or by a profile is the whole config. (Merged with the paper's
# it would ask for its data too; --replace-workflow-config does not reach the jobs of a cluster.)
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"


pathvars:
    results=f"results/{STUDY.name}",
    logs=f"results/{STUDY.name}/logs",
    benchmarks=f"results/{STUDY.name}/benchmarks",


include: "rules/data.smk"
include: "rules/pretraining.smk"
include: "rules/activations.smk"
include: "rules/training.smk"
include: "rules/export.smk"
include: "rules/encoding.smk"
include: "rules/evals.smk"
include: "rules/audit.smk"
include: "rules/matches.smk"
include: "rules/interventions.smk"
include: "rules/products.smk"
include: "rules/report.smk"
include: "rules/plan.smk"
include: "rules/targets.smk"


rule all:
    default_target: True
    input:
        FIGURES,
        TABLES,
        FEATURE_PAGES,
        MATCH_PAGES,
        REPORT,
    message:
        "The study is complete"


# Jobs are given files, which exist.
if workflow.is_main_process:
    try:
        targets.check(
            sys.argv[1:],
            known={rule.name for rule in workflow.rules},
            # `matches` makes `matches_table` and `matches_figure`.
            others=NOT_MADE | {name.removesuffix("_figure"): why for name, why in NOT_MADE.items()},
        )
    except UserError as error:
        raise Refusal(str(error)) from None


onsuccess:
    results = Path("results") / STUDY.name
    page, scores = results / "report/index.html", results / "tables/scores.csv"
    # A plan, or the pages of features, say nothing of the tables that an earlier config left.
    if page.exists() and targets.asked_for(
        [results / part for part in ("tables", "figures", "report")],
        [path for job in workflow.dag.jobs for path in job.output],
    ):
        older = scores.exists() and page.stat().st_mtime < scores.stat().st_mtime
        last = f"`report` makes {page} anew" if older else f"all on one page: {page}"
        print(f"Figures and tables are in {results}; {last}")
