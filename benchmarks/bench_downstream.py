"""Time and peak memory of the downstream tasks; prints a Markdown table.

    PYTHONPATH=workflow_scripts python benchmarks/bench_downstream.py [--threads 2] [--scale 1]

Each case runs in a process of its own; memory is its peak beyond what importing takes. Inputs
are synthetic and have a class structure. `--scale 0.2` uses a fifth of the images.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

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


# ---------------------------------------------------------------- cases: inputs → work


def cub_raw(scale):
    """CUB-200: 5,994 images × 768 × 200 classes, lbfgs."""
    from visae.probes import fit_probe

    x, labels = features(int(5994 * scale), 768, 200)
    return lambda threads: f"converged: {fit_probe(x, labels).converged}"


def inaturalist_raw(scale):
    """iNaturalist, sampled down: 10,000 images × 192 × 10,000 classes, Adam, 50 epochs."""
    from visae.probes import choose_estimator, fit_probe

    x, labels = features(int(10_000 * scale), 192, 10_000)
    estimator = choose_estimator(10_000)
    return lambda threads: fit_probe(x, labels, estimator).estimator


def cub_codes(scale):
    """CUB-200, all 12,288 codes at 8 %: 5,994 training images, lbfgs on sparse rows."""
    from visae.downstream.classification import classify_by_codes

    codes_fn, labels = codes(2 * int(5994 * scale), 12_288, 200, 0.08)
    train = halves(labels)
    parts = codes_fn[:, train], codes_fn[:, ~train], labels[train], labels[~train]
    return lambda threads: f"accuracy {classify_by_codes(*parts).value:.4f}"


def retrieval_dense(scale):
    """Retrieval among 10,000 images, 768 features."""
    from visae.downstream.retrieval import retrieve

    x, labels = features(int(10_000 * scale), 768, 1000)
    return lambda threads: f"R@1 {retrieve(x, labels).value:.4f}"


def retrieval_codes(scale, density=0.05):
    """Retrieval among 10,000 images, 12,288 codes at 5 %: sparse products."""
    from visae.downstream.retrieval import retrieve_by_codes

    codes_fn, labels = codes(int(10_000 * scale), 12_288, 100, density)
    return lambda threads: f"R@1 {retrieve_by_codes(codes_fn, labels, threads=threads).value:.4f}"


def retrieval_codes_dense(scale):
    """The same by dense products."""
    from visae.downstream import codes as module

    module.DENSE_ADVANTAGE = np.inf
    return retrieval_codes(scale)


def segmentation(scale):
    """Segmentation, 200 + 50 images × 196 patches, 6,144 codes, two heads, 10 epochs."""
    import torch

    from visae.cache import ActivationCache, CacheInfo, ShardWriter, join_shards
    from visae.downstream.segmentation import LabelledPatches, segment_sae
    from visae.sae.model import SparseAutoencoder

    random = np.random.default_rng(0)
    folder = Path(tempfile.mkdtemp())
    centres = random.normal(size=(ADE_CLASSES, 768))
    parts = []
    for split, images in (("train", int(200 * scale)), ("test", int(50 * scale))):
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


CASES = (
    cub_raw,
    inaturalist_raw,
    cub_codes,
    retrieval_dense,
    retrieval_codes,
    retrieval_codes_dense,
    segmentation,
)


def measure(case, threads, scale):
    """(wall seconds, peak MB beyond the inputs, note) of a case, in this process."""
    import torch

    torch.set_num_threads(threads)
    work = case(scale)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    note = work(threads)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, (after - before) / 1024, after / 1024, note


def main(threads, scale, only):
    """Run the cases and print the table."""
    os.environ |= {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    print(f"{threads} threads, scale {scale:g}, seconds wall; MB: growth of the peak, and peak\n")
    print("| case | seconds | growth | peak | |\n|---|---:|---:|---:|---|", flush=True)
    for case in CASES:
        if only and case.__name__ not in only:
            continue
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, growth, peak, note = pool.apply(measure, (case, threads, scale))
        title = case.__doc__.removesuffix(".")
        print(f"| {title} | {seconds:.1f} | {growth:.0f} | {peak:.0f} | {note} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", nargs="*", choices=[case.__name__ for case in CASES])
    arguments = parser.parse_args()
    main(arguments.threads, arguments.scale, arguments.only)
