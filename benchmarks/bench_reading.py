"""Speed of writing an activation cache and of reading it for training; prints Markdown tables.

    PYTHONPATH=workflow_scripts python benchmarks/bench_reading.py --folder /dev/shm

Each is measured beside the straightforward way, one thing after the other in one thread: moments
by way of float64 copies of a chunk, finiteness by way of an array of booleans; a window joined from
its chunks when it is needed, a batch gathered from it when it is asked for. That both write the
same activations and moments and give the same batches is checked. Best of some repetitions, taken
in turns. What was written is read from memory; `--folder` in memory also leaves the disk out of
writing. The training loop takes a batch and then leaves the processor alone for a while, as it does
while a GPU computes.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch
from timing import best_times

from visae.activations.cache import ActivationCache
from visae.activations.format import CacheInfo
from visae.activations.shards import ShardWriter, join_shards
from visae.activations.tokens import TokenStream
from visae.base.checksums import checksum

CHUNK_IMAGES, SEED = 64, 42


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4096, help="read; a quarter is written")
    parser.add_argument("--side", type=int, default=14, help="patches per side")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--window", type=int, default=512, help="images shuffled together")
    parser.add_argument("--batch", type=int, default=8192, help="tokens per step")
    parser.add_argument("--step", type=float, default=22, help="milliseconds per training step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where the files are put")
    return parser.parse_args()


def write(path, info, chunk_npd, images):
    """A shard of the same chunk again and again."""
    with ShardWriter(path, info, 0, 1, images) as writer:
        for _ in range(images // CHUNK_IMAGES):
            writer.append(chunk_npd, [0] * CHUNK_IMAGES, ["image"] * CHUNK_IMAGES)


def write_straightforwardly(path, chunk_npd, images):
    """Its activations, checksums and moments."""
    crc, means, squares = [], [], []
    with h5py.File(path, "w") as file:
        shape = (images, *chunk_npd.shape[1:])
        activations = file.create_dataset("activations", shape, np.float16, chunks=chunk_npd.shape)
        for start in range(0, images, CHUNK_IMAGES):
            stored = chunk_npd.astype(np.float16)
            assert np.isfinite(stored).all(axis=(1, 2)).all()
            activations[start : start + CHUNK_IMAGES] = stored
            tokens = stored.reshape(-1, stored.shape[-1]).astype(np.float64)
            mean = tokens.mean(axis=0)
            means.append(mean)
            squares.append(((tokens - mean) ** 2).sum(axis=0))
            crc.append(checksum(stored))
        file["crc32"] = np.array(crc, np.uint32)
        file["chunk_mean"], file["chunk_squares"] = means, squares
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())  # as the writer does


def moments_apart(one, other):
    """Largest difference of the moments in two shards, relative; their checksums are the same."""
    with h5py.File(one) as one, h5py.File(other) as other:
        assert (one["crc32"][:] == other["crc32"][:]).all()
        names = ("chunk_mean", "chunk_squares")
        return max(float(np.abs(one[n][:] / other[n][:] - 1).max()) for n in names)


def straightforward_batches(cache, batch_size, window_images):
    """The batches of epoch 0, read and gathered when they are asked for."""
    order = np.random.default_rng([SEED, 0, 0]).permutation(len(cache.chunks))
    step = window_images // CHUNK_IMAGES
    batch = torch.empty(0, cache.info.width, dtype=torch.float16)
    for number, first in enumerate(range(0, len(order), step)):
        chunks = [cache.read_chunk(chunk) for chunk in order[first : first + step]]
        window_td = torch.from_numpy(np.concatenate(chunks).reshape(-1, cache.info.width))
        generator = np.random.default_rng([SEED, 0, number + 1])
        rows = torch.from_numpy(generator.permutation(len(window_td)))
        while len(rows):
            missing = batch_size - len(batch)
            piece = window_td[rows[:missing]]
            batch = torch.cat([batch, piece]) if len(batch) else piece
            rows = rows[missing:]
            if len(batch) == batch_size:
                yield batch
                batch = batch[:0]
    if len(batch):
        yield batch


def seconds_waited(batches, step):
    """How long a training loop with steps of `step` seconds waits for its batches, in all."""
    waited, asked = 0.0, time.perf_counter()
    for _ in batches:
        waited += time.perf_counter() - asked
        time.sleep(step)
        asked = time.perf_counter()
    return waited


def print_table(columns, times, *rates):
    """A row for each of `times`; rates: amount per second, one per column of `columns`."""
    print(f"| | {' | '.join(columns)} | CPU seconds |\n|---|{'---:|' * (len(columns) + 1)}")
    for name, (seconds, cpu_seconds) in times.items():
        cells = " | ".join(f"{amount / seconds:,.{digits}f}" for amount, digits in rates)
        print(f"| {name} | {cells} | {cpu_seconds:.2f} |")


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    side, width, images = arguments.side, arguments.width, arguments.images
    info = CacheInfo(
        backbone="synthetic", model="synthetic", weights_fingerprint="", layer=0,
        dataset="synthetic", split="train", grid=(side, side), width=width,
        token_order="raster", preprocessing={}, index_fingerprint="", chunk_images=CHUNK_IMAGES,
    )  # fmt: skip
    generator = np.random.default_rng(0)
    chunk_npd = generator.normal(1, 1, (CHUNK_IMAGES, side * side, width)).astype(np.float16)
    written, size = images // 4, images * chunk_npd[0].nbytes
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        shards = [Path(folder) / name for name in ("shard.h5", "straightforward.h5")]
        writing = best_times(
            arguments.repeats,
            here=lambda: write(shards[0], info, chunk_npd, written),
            straightforward=lambda: write_straightforwardly(shards[1], chunk_npd, written),
        )
        apart = moments_apart(*shards)
        shards[1].unlink()
        write(shards[0], info, chunk_npd, images)
        join_shards(shards[:1], Path(folder) / "train.h5", statistics=True)
        with ActivationCache(Path(folder) / "train.h5") as cache:
            stream = TokenStream(cache, arguments.batch, SEED, arguments.window)
            ways = {
                "here": stream.batches,
                "straightforward": lambda: straightforward_batches(
                    cache, arguments.batch, arguments.window
                ),
            }
            assert all(map(torch.equal, *(way() for way in ways.values())))
            reading = best_times(
                arguments.repeats,
                **{name: lambda way=way: sum(1 for _ in way()) for name, way in ways.items()},
            )
            waits = {
                name: min(
                    seconds_waited(way(), arguments.step / 1000) for _ in range(arguments.repeats)
                )
                for name, way in ways.items()
            }
    print(
        f"{images} images of {side * side} × {width} ({size / 1e9:.2f} GB), batches of "
        f"{arguments.batch} tokens, windows of {arguments.window} images, {arguments.threads} "
        f"threads, files in {arguments.folder}; load at the end {os.getloadavg()[0]:.1f}\n"
    )
    print(f"Writing a shard of {written} of them:\n")
    print_table(["images/s", "GB/s"], writing, (written, 0), (size / 4e9, 2))
    print(f"\nLargest relative difference of the moments: {apart:.0e}\n\nReading an epoch:\n")
    print_table(["batches/s", "GB/s"], reading, (len(stream), 0), (size / 1e9, 2))
    print(f"\nTraining with steps of {arguments.step:g} ms, {len(stream)} of them:\n")
    print("| | waiting per step, ms | steps/s |\n|---|---:|---:|")
    for name, waited in waits.items():
        per_step = 1000 * waited / len(stream)
        print(f"| {name} | {per_step:.1f} | {1000 / (per_step + arguments.step):.1f} |")


if __name__ == "__main__":
    main()
