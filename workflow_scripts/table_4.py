"""Table 4: spatial coherence of the backbones' own channels, before any SAE."""

from visae.base.job import run
from visae.tables.coherence import raw_coherence
from visae.tables.layout import write
from visae.tables.paper import table_4


def body(snakemake):
    params = snakemake.params
    coherence = {
        backbone: raw_coherence(path, params.localization)
        for backbone, path in zip(params.backbones, snakemake.input.raw, strict=True)
    }
    write(table_4(coherence), *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
