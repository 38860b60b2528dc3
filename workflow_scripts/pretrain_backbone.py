"""Pretrain one backbone on the study's training split and say what it is worth."""

import json
import time

from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.weights import save_weights
from visae.base import paths
from visae.base.devices import take_device
from visae.base.files import write_json, write_text
from visae.base.job import run
from visae.images.index import read_index
from visae.pretraining.decoded import decode
from visae.pretraining.pretrain import pretrain
from visae.pretraining.sanity import assess, report
from visae.pretraining.training import PretrainingSettings


def body(snakemake):
    start = time.monotonic()
    params = snakemake.params
    backbone = build_backbone(BackboneSpec(snakemake.wildcards.backbone, **params.backbone))
    backbone.to(take_device())
    results, _ = paths.of_job(snakemake)
    training, evaluation = (
        decode(read_index(*results.index_and_classes(name)), root, backbone.transform)
        for name, root in (params.training, params.evaluation)
    )
    random = assess(backbone, training, evaluation)
    settings = PretrainingSettings(**params.pretraining)
    pretrained, log = pretrain(backbone, training, settings)
    save_weights(pretrained, snakemake.output.weights)
    write_text(snakemake.output.log, "".join(json.dumps(record) + "\n" for record in log))
    final = assess(pretrained, training, evaluation)
    seconds = time.monotonic() - start
    write_json(
        snakemake.output.sanity,
        report(pretrained.spec, settings, training, evaluation, random, final, log, seconds),
    )


run(body, snakemake)  # noqa: F821
