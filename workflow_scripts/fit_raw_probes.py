"""Fit the probes on a backbone's raw features: once, for every SAE that is held against them."""

from visae.devices import take_device
from visae.job import run
from visae.metrics import cross_domain, preservation
from visae.probes import write_probe
from visae.reductions import RawReductions
from visae.splits import read_split


def body(snakemake):
    device = take_device()
    for path, output, split_here in zip(
        snakemake.input.raw, snakemake.output.probes, snakemake.params.split_here, strict=True
    ):
        with RawReductions(path) as raw:
            features_nd, labels = raw.features_max(), raw.labels
            if split_here:
                test_mask = read_split(snakemake.input.split, raw.image_ids)
                probe = preservation.fit_raw_probe(features_nd, labels, test_mask, device)
            else:
                probe = cross_domain.fit_domain_probe(features_nd, labels, device)
        write_probe(output, probe)


run(body, snakemake)  # noqa: F821
