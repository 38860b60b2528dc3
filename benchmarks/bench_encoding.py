"""Speed of the encoding pass: against its floor, and against a pass per metric.

    PYTHONPATH=workflow_scripts python benchmarks/bench_encoding.py --images 128 --threads 2

Prints Markdown tables. The activations and the weights are Gaussian noise, so that the
active codes are spread over all features and patches: the unfavourable case for the sparse
kernels. Every time is the best of some repetitions, which take turns with those that they
are compared with, since other work on the machine slows all of them.
"""

import argparse
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from visae.cache import ActivationCache, CacheInfo, ShardWriter, join_shards
from visae.encoding import encode_cache, image_units
from visae.moran import Neighbours
from visae.reductions import SaeReductions
from visae.sae.model import SparseAutoencoder
from visae.sparse_kernels import ActiveCodes, decode, reduce_block, sliced
from visae.unit_encoders import SparseEncoder

MINIMUM_ACTIVE, VARIANCE_FLOOR = (1, 5, 20), 1e-8
FLOOR_IMAGES = 16
MORAN = "Moran's I, queen only"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--side", type=int, default=14, help="patches per side")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--features", type=int, default=6144)
    parser.add_argument("--l0", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sampled-features", type=int, default=64)
    return parser.parse_args()


class Timing(NamedTuple):
    """Best of some repetitions."""

    seconds: float
    cpu_seconds: float


def best_times(repeats, **functions):
    """A Timing of each function; they are called in turn (once before, unmeasured)."""
    times = {name: [] for name in functions}
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            function()
            if repeat:
                elapsed = time.perf_counter() - start, time.process_time() - cpu_start
                times[name].append(elapsed)
    return {name: Timing(*map(min, zip(*values, strict=True))) for name, values in times.items()}


def write_noise_cache(folder, images, side, width):
    """The path of a joined cache of Gaussian activations."""
    info = CacheInfo(
        backbone="noise",
        model="noise",
        weights_fingerprint="",
        layer=0,
        dataset="noise",
        split="evaluation",
        grid=(side, side),
        width=width,
        token_order="raster",
        preprocessing={},
        index_fingerprint="",
    )
    generator = np.random.default_rng(0)
    shard, joined = folder / "shard.h5", folder / "cache.h5"
    with ShardWriter(shard, info, 0, 1, images) as writer:
        for image in range(images):
            activations = generator.normal(size=(1, info.patches, width))
            writer.append(activations, [0], [f"{image:06d}"])
    join_shards([shard], joined, statistics=False)
    return joined


def noise_sae(features, width, l0, sample_td):
    """An SAE with random weights and the threshold that gives `l0` on the sample."""
    generator = torch.Generator().manual_seed(0)
    encoder = torch.randn(features, width, generator=generator) / width**0.5
    decoder = torch.randn(features, width, generator=generator)
    codes = (sample_td.float() @ encoder.T).flatten().numpy()
    return SparseAutoencoder(
        encoder_weight=encoder,
        encoder_bias=torch.zeros(features),
        decoder_weight=torch.nn.functional.normalize(decoder, dim=1),
        threshold=torch.tensor(np.quantile(codes, 1 - l0 / features), dtype=torch.float32),
        activation_mean=torch.zeros(width),
        activation_std=torch.tensor(1.0),
    )


def floor_product(cache, sae, threads):
    """The encoder product over as many tokens as the cache holds, and nothing else.

    Like the pass in `threads` threads of one BLAS thread each, which on a busy machine is
    faster than BLAS's own threads, since these wait for each other.
    """
    tokens = torch.randn(FLOOR_IMAGES * cache.info.patches, sae.width)
    outs = [torch.empty(len(tokens), sae.features) for _ in range(threads)]
    products = range(cache.images // FLOOR_IMAGES)

    def multiply(thread):
        torch.set_num_threads(1)
        for _ in products[thread::threads]:
            torch.mm(tokens, sae.encoder_weight.T, out=outs[thread])

    def multiply_all():
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(multiply, range(threads)))

    return multiply_all


def read_everything(cache):
    for number in range(len(cache.chunks)):
        cache.read_chunk(number)


def kernel_times(x_npd, sae, grid, repeats):
    """A Timing of one thread per step of a unit: product, visit without and with Moran, decode."""
    images, patches, _ = x_npd.shape
    features = sae.features
    tokens_dt = x_npd.flatten(0, 1).T
    codes = ActiveCodes(images, patches, features)
    step = SparseEncoder.feature_block
    buffer = torch.empty(step, images * patches)
    blocks = [
        torch.mm(sae.encoder_weight[start : start + step], tokens_dt)
        for start in range(0, features, step)
    ]
    decoder = sliced(sae.decoder_weight.numpy())
    threshold = sae.threshold.expand(features).contiguous().numpy()

    def product():
        for start in range(0, features, step):
            weight = sae.encoder_weight[start : start + step]
            torch.mm(weight, tokens_dt, out=buffer[: len(weight)])

    def visit(minimum_active):
        minima = len(minimum_active)
        for number, block in enumerate(blocks):
            reduce_block(
                block.numpy().reshape(-1, images, patches),
                number * step,
                sae.encoder_bias.numpy(),
                threshold,
                codes.patch,
                codes.value,
                codes.end,
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
        decode(x_npd.numpy(), decoder, codes.patch, codes.value, codes.end, maxima)

    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = best_times(
        repeats,
        product=product,
        visit=lambda: visit(()),
        visit_moran=lambda: visit(MINIMUM_ACTIVE),
        decode=decode_unit,
    )
    torch.set_num_threads(torch_threads)
    return times


def straightforward_times(cache, sae, sampled_features):
    """A Timing for a dense pass per quantity, and for Moran's I map by map, extrapolated."""

    def dense_pass(reduce):
        def run():
            for number in range(len(cache.chunks)):
                chunk = torch.from_numpy(cache.read_chunk(number))
                for images in chunk.split(FLOOR_IMAGES):
                    x_npd = sae.normalise(images)
                    reduce(x_npd, sae.encode(x_npd))

        return run

    times = best_times(
        1,
        **{
            "firing counts": dense_pass(lambda x, codes: (codes > 0).sum(dim=(0, 1))),
            "max-pooled codes": dense_pass(lambda x, codes: codes.amax(dim=1)),
            "FVU": dense_pass(lambda x, codes: ((x - sae.decode(codes)) ** 2).double().sum()),
            "max-pooled reconstructions": dense_pass(
                lambda x, codes: sae.decode(codes).amax(dim=1)
            ),
        },
    )
    images = min(cache.images, 8)
    x_npd = sae.normalise(torch.from_numpy(next(image_units(cache, images))))
    codes_npf = sae.encode(x_npd).double().numpy()
    evaluable = (codes_npf > 0).sum(axis=1) >= MINIMUM_ACTIVE[0]
    sampled = range(0, sae.features, sae.features // sampled_features)
    maps = [codes_npf[i, :, f] for f in sampled for i in np.flatnonzero(evaluable[:, f])]
    row, column = np.divmod(np.arange(cache.info.patches), cache.info.grid[1])
    rows, columns = np.abs(row[:, None] - row), np.abs(column[:, None] - column)
    weights = (np.maximum(rows, columns) == 1).astype(float)

    def moran():
        for values in maps:
            centred = values - values.mean()
            centred @ weights @ centred / (centred @ centred) * len(values) / weights.sum()

    timing = best_times(1, moran=moran)["moran"]
    factor = evaluable.sum() / len(maps) * cache.images / images
    times[MORAN] = Timing(timing.seconds * factor, timing.cpu_seconds * factor)
    return times, len(maps)


def report(cache, sae, l0, arguments, folder):
    output = folder / "out.h5"

    def whole_pass():
        encode_cache(
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
        floor=floor_product(cache, sae, arguments.threads),
        reading=lambda: read_everything(cache),
    )
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
    straightforward, maps = straightforward_times(cache, sae, arguments.sampled_features)
    for name, timing in straightforward.items():
        row(f"straightforward: {name}", timing)
    total = Timing(*map(sum, zip(*straightforward.values(), strict=True)))
    row("straightforward, together", total)
    dense = total.seconds - straightforward[MORAN].seconds
    print(
        "\nThe straightforward way is a dense pass per quantity and Moran's I map by map in numpy, "
        f"extrapolated from {maps} maps. It takes {total.seconds / times['whole'].seconds:.0f} "
        f"times as long as the pass, and {dense / times['whole'].seconds:.1f} times without "
        "Moran's I."
    )

    unit = next(image_units(cache, SparseEncoder.unit_images))
    steps = kernel_times(
        sae.normalise(torch.from_numpy(unit)), sae, cache.info.grid, 3 * arguments.repeats
    )
    steps = {name: timing.cpu_seconds for name, timing in steps.items()}
    shares = {
        "encoder product": steps["product"],
        "threshold, compaction, pooling, firing counts": steps["visit"],
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
        joined = write_noise_cache(folder, arguments.images, arguments.side, arguments.width)
        print("## Encoding pass")
        with ActivationCache(joined) as cache:
            sample = torch.from_numpy(next(image_units(cache, FLOOR_IMAGES)).copy()).flatten(0, 1)
            for l0 in arguments.l0:
                sae = noise_sae(arguments.features, arguments.width, l0, sample)
                report(cache, sae, l0, arguments, folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"\nPeak memory of this process, comparison included: {peak:.2f} GB.")


if __name__ == "__main__":
    main()
