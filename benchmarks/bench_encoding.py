"""Speed of the encoding pass and of its kernels, against the floor; prints Markdown tables.

    PYTHONPATH=workflow_scripts python benchmarks/bench_encoding.py --images 128 --threads 2

The activations and the weights are Gaussian noise, so that the active codes are spread over all
features and patches: the unfavourable case for the sparse kernels. Every time is the best of
some repetitions, which take turns with those that they are compared with.
`bench_evaluation.py` has the pass in the whole evaluation.
"""

import argparse
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from synthetic import FLOOR_IMAGES, floor_product, noise, read_everything, tied_sae, write_cache
from timing import best_times, clock, peak_megabytes

from visae.activations import cache as caches
from visae.activations.cache import ActivationCache
from visae.base import hdf5, seals
from visae.encoding.encoders import SparseEncoder
from visae.encoding.kernels import ActiveCodes, decode, decoded, reduce_maps, sliced, take_found
from visae.encoding.moran import Neighbours
from visae.encoding.reductions import SaeReductions
from visae.encoding.sae_pass import encode_activations
from visae.sae.screen import Features, Tokens
from visae.sae.screen_bytes import BYTES, Found, Screen

MINIMUM_ACTIVE, VARIANCE_FLOOR = (1, 5, 20), 1e-8


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--side", type=int, default=14, help="patches per side")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--features", type=int, default=6144)
    parser.add_argument("--l0", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def kernel_times(x_npd, sae, grid, repeats):
    """A Timing of one thread per step of a unit: codes, visit without and with Moran, decode."""
    images, patches, _ = x_npd.shape
    features, step = sae.features, SparseEncoder.screened_block
    codes = ActiveCodes(images, patches, features)
    decoder = sliced(sae.decoder_weight.numpy())
    threshold = sae.threshold.expand(features).contiguous()
    encoder = Features(BYTES, sae.encoder_weight, sae.encoder_bias, threshold)
    blocks = [slice(f, min(f + step, features)) for f in range(0, features, step)]

    def find():
        screen = Screen(Tokens(BYTES, x_npd.flatten(0, 1)), step)
        return [screen.find(encoder, block) for block in blocks]

    def copied(found):
        return Found(*(array.copy() for array in found))

    screen = Screen(Tokens(BYTES, x_npd.flatten(0, 1)), step)
    found = [copied(screen.find(encoder, block)) for block in blocks]

    def visit(minimum_active):
        minima = len(minimum_active)
        taken = codes.patch, codes.value, codes.end
        for block, codes_of_block in zip(blocks, found, strict=True):
            take_found(*codes_of_block, patches, block.start, *taken)
        reduce_maps(
            *taken,
            np.empty((images, features), np.float32),
            np.zeros(features, np.int64),
            np.array(minimum_active, np.int64),
            np.zeros((2, minima, features)),
            np.zeros((minima, features), np.int64),
            Neighbours.of_grid(grid).padded_map(),
            Neighbours.of_grid(grid),
            VARIANCE_FLOOR,
        )

    def decode_unit():
        maxima = np.empty((images, sae.width), np.float32)
        arrays = codes.patch, codes.value, codes.end, decoded(images, patches, len(decoder))
        decode(x_npd.numpy(), decoder, *arrays, maxima)

    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = best_times(
        repeats,
        codes=find,
        visit=lambda: visit(()),
        visit_moran=lambda: visit(MINIMUM_ACTIVE),
        decode=decode_unit,
    )
    torch.set_num_threads(torch_threads)
    return times


class Checks:
    """CPU seconds of checksums and digests within a block, of every thread that computes them."""

    def __init__(self):
        self.seconds = 0.0
        self._patches = [
            mock.patch.object(module, name, self._clocked(getattr(module, name)))
            for module, name in (
                (caches, "check_chunk"),  # each chunk that is read
                (hdf5, "checksum"),  # each that is written
                (seals, "_of_hdf5"),  # the seal of a file
            )
        ]

    def _clocked(self, function):
        def clocked(*arguments):
            start = time.thread_time()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.thread_time() - start

        return clocked

    def __enter__(self):
        for patch in self._patches:
            patch.start()
        return self

    def __exit__(self, *exception):
        for patch in self._patches:
            patch.stop()


def report(cache, sae, arguments, folder):
    output = folder / "out.h5"

    def whole_pass():
        encode_activations(
            cache,
            {"noise": sae},
            {"noise": output},
            sae_fingerprints={"noise": ""},
            minimum_active=MINIMUM_ACTIVE,
            variance_floor=VARIANCE_FLOOR,
            threads=arguments.threads,
        )

    times = best_times(
        arguments.repeats,
        whole=whole_pass,
        floor=floor_product(sae, cache.info.patches, cache.images, arguments.threads),
        reading=lambda: read_everything(cache),
    )
    with Checks() as checks, ActivationCache(cache.path):
        _, checked = clock(whole_pass)
    with SaeReductions(output) as reductions:
        measured_l0 = reductions.l0_sum / reductions.tokens
    gigaflop = 2 * cache.tokens * sae.width * sae.features / 1e9
    gigabytes = 2 * cache.tokens * sae.width / 1e9
    floor = times["floor"]
    print(
        f"\n### L0 = {measured_l0:.0f}: N = {cache.images}, P = {cache.info.patches}, "
        f"D = {sae.width}, F = {sae.features}, {arguments.threads} threads\n"
    )
    print("| | seconds | CPU seconds | ms per image | × encoder product | in CPU time |")
    print("|---|--:|--:|--:|--:|--:|")

    def row(name, timing):
        print(
            f"| {name} | {timing.seconds:.2f} | {timing.cpu_seconds:.2f} | "
            f"{1000 * timing.seconds / cache.images:.2f} | {timing.seconds / floor.seconds:.2f} | "
            f"{timing.cpu_seconds / floor.cpu_seconds:.2f} |"
        )

    row("whole pass", times["whole"])
    row(f"encoder product alone ({gigaflop / floor.seconds:.0f} GFLOP/s)", floor)
    row(f"reading and checking the cache alone ({gigabytes:.2f} GB)", times["reading"])

    print(
        f"\nChecksums and digests of what is read and written: {checks.seconds:.3f} CPU seconds, "
        f"{100 * checks.seconds / checked.cpu_seconds:.2f} % of a whole pass with them."
    )

    unit = next(cache.image_units(SparseEncoder.unit_images))
    steps = kernel_times(
        sae.normalise(torch.from_numpy(unit)), sae, cache.info.grid, 3 * arguments.repeats
    )
    steps = {name: timing.cpu_seconds for name, timing in steps.items()}
    shares = {
        "codes, by the screened product": steps["codes"],
        "compaction, pooling, firing counts": steps["visit"],
        "Moran's I (queen and rook, three minima)": steps["visit_moran"] - steps["visit"],
        "sparse decode, its pooling and error": steps["decode"],
    }
    print("\n| step | CPU ms per image | share |\n|---|--:|--:|")
    for name, seconds in shares.items():
        share = seconds / sum(shares.values())
        print(f"| {name} | {1000 * seconds / len(unit):.2f} | {100 * share:.1f} % |")


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        side, width = arguments.side, arguments.width
        write_cache(folder / "cache.h5", noise(arguments.images, side, width), side, width)
        print("## Encoding pass")
        with ActivationCache(folder / "cache.h5") as cache:
            sample = torch.from_numpy(next(cache.image_units(FLOOR_IMAGES)).copy()).flatten(0, 1)
            directions = torch.nn.functional.normalize(torch.randn(arguments.features, width))
            for l0 in arguments.l0:
                report(cache, tied_sae(directions, l0, sample), arguments, folder)
        print(f"\nPeak memory of this process: {peak_megabytes():.0f} MB.")


if __name__ == "__main__":
    main()
