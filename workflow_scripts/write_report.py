"""The study's report: one HTML file with everything in it."""

from visae.base.files import write_text
from visae.base.job import run
from visae.report.page import Sources, build
from visae.report.saes import files_of_saes
from visae.study import roles
from visae.study.study import Study


def body(snakemake):
    params, files = snakemake.params, snakemake.input
    study = Study(params.config)
    sources = Sources(
        figures=files.figures,
        tables=files.tables,
        tidy=files.tidy,
        saes=files_of_saes(study),
        sae_configs=files.sae_configs,
        index=files.index,
        classes=files.classes,
        claims=files.claims,
        published=files.published,
        contradictions=files.contradictions,
        benchmarks=params.benchmarks,
        cards={
            (sae.place, sae.name): study.paths.features(sae.name, "card.json", sae.place)
            for sae in roles.on_pages(study)
        },
        matches={
            pair: study.paths.matches(*pair, "card.json")
            for pair in [(a.full_name, b.full_name) for a, b in roles.matched(study)]
        },
        edited={
            (sae.place, sae.name): study.paths.interventions(sae.name, "card.json", sae.place)
            for sae in roles.edited(study)
        },
    )
    page = build(study, sources, params.captions, params.not_made)
    write_text(snakemake.output.page, page)


run(body, snakemake)  # noqa: F821
