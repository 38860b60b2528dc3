"""Fit the probes on a backbone's raw features: once, for every SAE that is held against them."""

from visae.base import paths
from visae.base.devices import take_device
from visae.base.job import run
from visae.encoding.reductions import RawReductions
from visae.probing.multinomial import write_probe
from visae.probing.raw_probes import fit_domain_probe, fit_raw_probe
from visae.probing.splits import read_split


def body(snakemake):
    device, params = take_device(), snakemake.params
    results, place = paths.of_job(snakemake)
    for dataset, split in params.splits.items():
        inputs = [results.reductions(paths.RAW, split, place)]
        with RawReductions(*inputs) as raw:
            features_nd, labels = raw.features_max(), raw.labels
            if dataset == params.evaluation:
                inputs += [snakemake.input.split]
                test_mask = read_split(snakemake.input.split, raw.image_ids)
                probe = fit_raw_probe(features_nd, labels, test_mask, device)
            else:
                probe = fit_domain_probe(features_nd, labels, device)
        write_probe(results.raw_probe(dataset, place), probe, inputs)


run(body, snakemake)  # noqa: F821
