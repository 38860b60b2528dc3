"""Table 4: spatial coherence of the backbones' own channels, before any SAE."""

from visae.job import run
from visae.metrics.localization import localization
from visae.reductions import RawReductions
from visae.tables.layout import write
from visae.tables.paper import table_4


def raw_coherence(path, settings):
    """Mean Moran's I of the raw channels, as Table 4 needs it."""
    with RawReductions(path) as raw:
        score = localization(
            raw.moran_sum,
            raw.moran_images,
            raw.minimum_active,
            raw.grid,
            headline_minimum=settings["minimum_active"][0],
            minimum_images=settings["minimum_images"],
        )
    return {
        "mean": score.value,
        "null": score.readings["null"],
        "z": score.readings["z"],
        "channels": score.data["evaluable_features"],
    }


def body(snakemake):
    coherence = {
        backbone: raw_coherence(path, snakemake.params.localization)
        for backbone, path in zip(snakemake.params.backbones, snakemake.input.raw, strict=True)
    }
    write(table_4(coherence), *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
