"""Fit the probes on a backbone's raw features: once, for every SAE that is held against them."""

from visae.base.devices import take_device
from visae.base.job import run
from visae.encoding.reductions import RawReductions
from visae.probing.multinomial import write_probe
from visae.probing.raw_probes import fit_domain_probe, fit_raw_probe
from visae.probing.splits import read_split


def body(snakemake):
    device = take_device()
    for path, output, split_here in zip(
        snakemake.input.raw, snakemake.output.probes, snakemake.params.split_here, strict=True
    ):
        with RawReductions(path) as raw:
            features_nd, labels = raw.features_max(), raw.labels
            if split_here:
                test_mask = read_split(snakemake.input.split, raw.image_ids)
                probe = fit_raw_probe(features_nd, labels, test_mask, device)
            else:
                probe = fit_domain_probe(features_nd, labels, device)
        write_probe(output, probe)


run(body, snakemake)  # noqa: F821
