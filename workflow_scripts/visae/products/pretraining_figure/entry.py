"""What the study's own pretraining brought, before and after."""

from visae.products.product import Product
from visae.products.sources import counted, looks, own_pretraining, tables


def _reads(study, paths):
    logs = [paths.pretraining(backbone, "log.jsonl") for backbone in study.pretrained()]
    return {**tables(paths, "pretraining_table"), "logs": logs}


def _over(study):
    return f"n = {counted(len(study.pretrained()), 'backbone')} that the study pretrains."


ENTRY = Product(
    kind="figure",
    shows="what the study's own pretraining brought, backbone by backbone",
    reads=_reads,
    settings=lambda study: looks(study, study.pretrained()),
    needs=(own_pretraining,),
    over=_over,
)
