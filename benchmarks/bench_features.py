"""Speed and memory of looking features up on their images; prints a Markdown table.

    PYTHONPATH=workflow_scripts python benchmarks/bench_features.py --features 500

Exemplars (top, middle, low) with their maps, the table of all features and which are alike, as
`snakemake features` looks them up, beside one encoding pass of the same cache. The straightforward
way is a pass over the cache for each feature; it is timed for a few and scaled up. That both find
the same codes is checked. Memory is the peak of a process of its own, with all images, half and a
quarter of them. The images are those of `synthetic.PlantedImages`.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from synthetic import PlantedImages, tied_sae, write_cache
from timing import clock, peak_megabytes

from visae.activations.cache import ActivationCache
from visae.audit.lookup import look_up
from visae.encoding.reductions import SaeReductions
from visae.encoding.sae_pass import encode_activations
from visae.sae.checkpoint import SavedSae

SETTINGS = {"top_images": 8, "band_images": 4, "queries": 0, "query_features": 1}
SAMPLE = 2  # features of the straightforward way


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=14, help="patches per side")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--dictionary", type=int, default=6144, help="F")
    parser.add_argument("--features", type=int, default=500, help="looked up")
    parser.add_argument("--l0", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    return parser.parse_args()


def planted_sae(arguments):
    """(the images, the `SavedSae`), the same in every process."""
    planted = PlantedImages(arguments.dictionary, arguments.width, arguments.side, classes=100)
    tokens, _ = planted.batch(4)
    sample_td = np.concatenate([tokens(image)[0] for image in range(4)])
    return planted, SavedSae(tied_sae(planted.atoms_fd, arguments.l0, sample_td), {}, "f" * 16)


def find(cache_path, sae, features):
    """The `Findings` of so many features by rule."""
    with (
        ActivationCache(cache_path) as cache,
        SaeReductions(cache_path.with_suffix(".codes.h5")) as reductions,
    ):
        return look_up(sae, cache, reductions, {}, {}, [], SETTINGS | {"shown": features}, [], 0)


def encode(cache_path, sae, threads):
    with ActivationCache(cache_path) as cache:
        encode_activations(
            cache,
            {"s": sae.model},
            {"s": cache_path.with_suffix(".codes.h5")},
            sae_fingerprints={"s": sae.fingerprint},
            threads=threads,
        )


def straightforward(cache_path, sae, features):
    """{feature: (its largest code on each image, the maps of the top images)}: a pass for each."""
    found = {}
    for feature in features:
        with ActivationCache(cache_path) as cache:
            maps = []
            for number in range(len(cache.chunks)):
                x_npd = sae.model.normalise(torch.from_numpy(cache.read_chunk(number)))
                pre = x_npd @ sae.model.encoder_weight[feature] + sae.model.encoder_bias[feature]
                maps.append(torch.where((pre > 0) & (pre >= sae.model.threshold), pre, 0).numpy())
        maps = np.concatenate(maps)
        top = np.argsort(-maps.max(axis=1), kind="stable")[: SETTINGS["top_images"]]
        found[feature] = top, maps[top]
    return found


def peak(cache_path, arguments):
    """Peak memory, in MB, of a process that looks features up."""
    command = [sys.executable, *sys.argv, "--measure", str(cache_path)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout)


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    planted, sae = planted_sae(arguments)
    if arguments.measure:
        find(Path(arguments.measure), sae, arguments.features)
        print(peak_megabytes())
        return
    with tempfile.TemporaryDirectory() as folder:
        caches = {
            images: Path(folder) / f"{images}.h5"
            for images in (arguments.images // 4, arguments.images // 2, arguments.images)
        }
        *parts, whole = caches.values()
        for images, path in caches.items():
            write_cache(path, planted.batch(images), arguments.side, arguments.width)
        for path in parts:
            encode(path, sae, arguments.threads)
        _, encoding = clock(encode, whole, sae, arguments.threads)
        findings, lookup = clock(find, whole, sae, arguments.features)
        sample = [f for f, e in findings.examples.items() if len(e.bands["top"]) == 8][:SAMPLE]
        apart, slow = clock(straightforward, whole, sae, sample)
        slow = slow.scaled(arguments.features / len(sample))
        for feature, (top, maps) in apart.items():
            own = findings.examples[feature].bands["top"]
            assert [item.image for item in own] == top.tolist()
            for item, map_p in zip(own, maps, strict=True):
                np.testing.assert_allclose(item.map.ravel(), map_p, rtol=1e-4, atol=1e-5)
        pictures = sum(len(b) for e in findings.examples.values() for b in e.bands.values())
        distinct = len(
            {i.image for e in findings.examples.values() for b in e.bands.values() for i in b}
        )
        print(
            f"{len(findings.examples)} features of F = {arguments.dictionary}, N = "
            f"{arguments.images}, P = {arguments.side**2}, D = {arguments.width}, L0 ≈ "
            f"{arguments.l0}, {arguments.threads} threads: {pictures} maps on {distinct} images\n"
        )
        print("| | seconds | CPU seconds | × encoding pass |\n|---|---:|---:|---:|")
        for name, timing in (
            ("one encoding pass", encoding),
            ("looking up", lookup),
            (f"a pass per feature (timed for {len(sample)})", slow),
        ):
            ratio = timing.seconds / encoding.seconds
            print(f"| {name} | {timing.seconds:.1f} | {timing.cpu_seconds:.1f} | {ratio:.2f} |")
        peaks = [f"{peak(path, arguments):.0f} MB of {n} images" for n, path in caches.items()]
        print(f"\nPeak memory: {', '.join(peaks)}.")


if __name__ == "__main__":
    main()
