"""Pretrain one backbone on the study's training split and say what it is worth."""

import itertools
import time

from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.weights import save_weights
from visae.base import paths
from visae.base.devices import take_device
from visae.base.job import run
from visae.images.index import read_index
from visae.pretraining.decoded import decode
from visae.pretraining.pretrain import pretrain
from visae.pretraining.records import write_log, write_sanity
from visae.pretraining.sanity import assess, report
from visae.pretraining.training import PretrainingSettings


def body(snakemake):
    start = time.monotonic()
    params = snakemake.params
    backbone = build_backbone(BackboneSpec(snakemake.wildcards.backbone, **params.backbone))
    backbone.to(take_device())
    results, _ = paths.of_job(snakemake)
    files = [results.index_and_classes(name) for name, _ in (params.training, params.evaluation)]
    training, evaluation = (
        decode(read_index(*read), root, backbone.transform)
        for read, (_, root) in zip(files, (params.training, params.evaluation), strict=True)
    )
    random = assess(backbone, training, evaluation)
    settings = PretrainingSettings(**params.pretraining)
    pretrained, log = pretrain(backbone, training, settings)
    output = snakemake.output
    save_weights(pretrained, output.weights, itertools.chain(*files))
    write_log(output.log, log, [output.weights])
    final = assess(pretrained, training, evaluation)
    seconds = time.monotonic() - start
    write_sanity(
        output.sanity,
        report(pretrained.spec, settings, training, evaluation, random, final, log, seconds),
        [output.weights],
    )


run(body, snakemake)  # noqa: F821
