"""Figure 5: what typical and highly coherent features respond to, by backbone."""

from visae.audit.choice import KINDS
from visae.audit.examples import read_examples
from visae.base.job import run
from visae.figures import figure_5, style


def body(snakemake):
    params, examples = snakemake.params, []
    for path in snakemake.input.examples:
        about, found = read_examples(path)
        examples += [
            {"backbone": about["backbone"], "kind": kind, **found[kind]}
            for kind in KINDS
            if kind in found
        ]
    styles = style.backbone_styles(params.labels, params.backbones)
    figure = figure_5.draw(examples, styles, params.sae, params.split)
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
