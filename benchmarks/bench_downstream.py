"""Time and peak memory of the downstream tasks; prints a Markdown table.

    PYTHONPATH=workflow_scripts python benchmarks/bench_downstream.py [--threads 2] [--full]

Each case runs in a process of its own; memory is its peak beyond what importing takes. Inputs
are synthetic and have a class structure. Most cases are cut down to a share of their images or
epochs, which the table names; `--full` takes all of them whole, for some ten minutes.
"""

import argparse
import multiprocessing
import os
import tempfile
from pathlib import Path

import numpy as np
from timing import clock, peak_megabytes

ADE_CLASSES = 150


def features(images, width, classes, seed=0):
    """Features float32 [n, D] around a centre per class, and labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    centres = random.normal(size=(classes, width)).astype(np.float32)
    noise = random.standard_normal((images, width), dtype=np.float32)
    return centres[labels] + 3 * noise, labels


def codes(images, features, classes, density, seed=0):
    """Pooled codes float16 [F, n] and labels; every feature prefers three classes."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    codes_fn = np.empty((features, images), np.float16)
    for feature in range(features):
        rate = np.where(np.isin(labels, random.integers(0, classes, 3)), 0.5, density)
        codes_fn[feature] = random.gamma(1.0, 1.0, images) * (random.random(images) < rate)
    return codes_fn, labels


def halves(labels):
    """Every other image of each class: bool [n]."""
    order = np.argsort(labels, kind="stable")
    return np.argsort(order) % 2 == 0


# ---------------------------------------------------------------- cases: share → inputs → work


def cub_raw(share):
    """CUB-200: 5,994 images × 768 × 200 classes, lbfgs."""
    from visae.probing.multinomial import fit_probe

    x, labels = features(int(5994 * share), 768, 200)
    return lambda threads: f"converged: {fit_probe(x, labels).converged}"


def inaturalist_raw(share):
    """iNaturalist, one image per class: 10,000 × 192 × 10,000 classes, Adam, 50 epochs."""
    from visae.probing import multinomial as probes

    probes.EPOCHS = round(probes.EPOCHS * share)
    x, labels = features(10_000, 192, 10_000)
    estimator = probes.choose_estimator(10_000)
    whole = 8 * len(x) * 10_000 / 2**20
    return lambda threads: (
        f"{probes.fit_probe(x, labels, estimator).estimator}; "
        f"n × C in float64 would take {whole:.0f} MB"
    )


def cub_codes(share):
    """CUB-200, all 12,288 codes at 8 %: 5,994 training images, lbfgs on sparse rows."""
    from visae.evals.classification.compute import classify_by_codes

    codes_fn, labels = codes(2 * int(5994 * share), 12_288, 200, 0.08)
    train = halves(labels)
    parts = codes_fn[:, train], codes_fn[:, ~train], labels[train], labels[~train]
    return lambda threads: f"accuracy {classify_by_codes(*parts).value:.4f}"


def retrieval_dense(share):
    """Retrieval among 10,000 images, 768 features."""
    from visae.evals.retrieval.compute import retrieve

    x, labels = features(int(10_000 * share), 768, 1000)
    return lambda threads: f"R@1 {retrieve(x, labels).value:.4f}"


def retrieval_codes(share, density=0.05):
    """Retrieval among 10,000 images, 12,288 codes at 5 %: sparse products."""
    from visae.evals.retrieval.compute import retrieve_by_codes

    codes_fn, labels = codes(int(10_000 * share), 12_288, 100, density)
    return lambda threads: f"R@1 {retrieve_by_codes(codes_fn, labels, threads=threads).value:.4f}"


def retrieval_codes_dense(share):
    """The same by dense products."""
    from visae.evals import sparse_codes as module

    module.DENSE_ADVANTAGE = np.inf
    return retrieval_codes(share)


def segmentation(share):
    """Segmentation, 200 + 50 images × 196 patches, 6,144 codes, two heads, 10 epochs."""
    import torch

    from visae.activations.cache import ActivationCache
    from visae.activations.format import CacheInfo
    from visae.activations.shards import ShardWriter, join_shards
    from visae.evals.segmentation.compute import LabelledPatches, segment_sae
    from visae.sae.model import SparseAutoencoder

    random = np.random.default_rng(0)
    folder = Path(tempfile.mkdtemp())
    centres = random.normal(size=(ADE_CLASSES, 768))
    parts = []
    for split, images in (("train", int(200 * share)), ("test", int(50 * share))):
        labels = random.integers(-1, ADE_CLASSES, size=(images, 196)).astype(np.int16)
        info = CacheInfo(
            backbone="toy", model="toy", weights_fingerprint="", layer=11, dataset="ade20k",
            split=split, grid=(14, 14), width=768, token_order="raster", preprocessing={},
            index_fingerprint="",
        )  # fmt: skip
        with ShardWriter(folder / f"{split}-0.h5", info, 0, 1, images) as writer:
            for image, row in enumerate(labels):
                tokens = centres[row] + 3 * random.normal(size=(196, 768))
                writer.append(tokens[None], [-1], [str(image)])
        join_shards([folder / f"{split}-0.h5"], folder / f"{split}.h5", statistics=False)
        parts.append(LabelledPatches(ActivationCache(folder / f"{split}.h5"), labels))
    decoder = torch.nn.functional.normalize(torch.randn(6144, 768), dim=1)
    sae = SparseAutoencoder(
        decoder, torch.zeros(6144), decoder, torch.tensor(2.05),
        torch.zeros(768), torch.tensor(float(np.sqrt(10))),
    )  # fmt: skip
    names = [str(number) for number in range(ADE_CLASSES)]

    def work(threads):
        outcomes = segment_sae(*parts, names, sae)
        return ", ".join(f"{name} mIoU {outcome.value:.3f}" for name, outcome in outcomes.items())

    return work


CASES = {
    cub_raw: 1,
    inaturalist_raw: 0.06,
    cub_codes: 0.1,
    retrieval_dense: 0.5,
    retrieval_codes: 0.3,
    retrieval_codes_dense: 0.3,
    segmentation: 0.2,
}
"""Case → share of it that is timed unless `--full` asks for all."""


def measure(case, threads, share):
    """(Timing, MB by which the peak grows, peak MB, note) of a case, in this process."""
    import torch

    torch.set_num_threads(threads)
    work = case(share)
    before = peak_megabytes()
    note, timing = clock(work, threads)
    return timing, peak_megabytes() - before, peak_megabytes(), note


def main(threads, full, only):
    """Run the cases and print the table."""
    os.environ |= {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    print(f"## Downstream tasks: {threads} threads, MB: growth of the peak, and peak\n")
    print("| case | share | seconds | CPU | growth | peak | |\n|---|---:|---:|---:|---:|---:|---|")
    for case, share in CASES.items():
        if only and case.__name__ not in only:
            continue
        share = 1 if full else share
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            timing, growth, peak, note = pool.apply(measure, (case, threads, share))
        title = case.__doc__.removesuffix(".")
        print(
            f"| {title} | {share:g} | {timing.seconds:.1f} | {timing.cpu_seconds:.1f} | "
            f"{growth:.0f} | {peak:.0f} | {note} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--full", action="store_true", help="no case is cut down")
    parser.add_argument("--only", nargs="*", choices=[case.__name__ for case in CASES])
    arguments = parser.parse_args()
    main(arguments.threads, arguments.full, arguments.only)
