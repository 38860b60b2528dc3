"""Table 9: do two families of SAEs rank the backbones alike?"""

from visae.base.job import run
from visae.tables.family import table_9
from visae.tables.layout import write
from visae.tables.scores import read_scores


def body(snakemake):
    table = table_9(read_scores(snakemake.input.scores), *snakemake.params.sweeps)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
