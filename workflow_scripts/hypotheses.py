"""The verdicts on the hypotheses that the paper fixed in advance (section 4.5)."""

from visae.base.job import run
from visae.tables.correlations import hypotheses_table, metric_values, transfer_values
from visae.tables.downstream import read_downstream, task_values
from visae.tables.layout import write
from visae.tables.scores import read_scores


def body(snakemake):
    sweep = snakemake.params.sweep
    scores = read_scores(snakemake.input.scores)
    tasks = task_values(read_downstream(snakemake.input.downstream), sweep)
    table = hypotheses_table(
        metric_values(scores, sweep),
        tasks | transfer_values(scores, sweep),
        snakemake.params.datasets,
    )
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
