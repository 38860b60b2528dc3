"""Speed of extraction from JPEG files against the backbone's own forward pass.

    PYTHONPATH=workflow_scripts python benchmarks/bench_extraction.py --images 16 64 --threads 2

Prints a Markdown table. A ViT-B/16 with random weights reads photographs of ImageNet's usual
size, 500×375; the floor is its forward pass, up to the same block and in batches of the same
size, on the same pixels, which are in memory already. Both run in one process, with the same
threads and the same memory. Of two numbers of images, the difference is what each further image
takes, and the rest is what a shard takes once. Best of some repetitions, taken in turns.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image
from timing import Timing, best_times

from visae.activations.extraction import ShardJob, extract
from visae.backbones import BackboneSpec, build_backbone
from visae.base.memory import keep_freed
from visae.images.decoding import load_image
from visae.images.index import ClassRecord, ImageRecord, build_index

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")
SIZE = (500, 375)
LAYER = 11


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="deit_base_patch16_224.fb_in1k", help="of timm")
    parser.add_argument("--images", type=int, nargs=2, default=(16, 64), help="few and many")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def write_photographs(folder, count):
    """JPEG files of random regions of photographs; their index."""
    random = np.random.default_rng(0)
    sources = [Image.fromarray(getattr(skimage.data, name)()) for name in PHOTOGRAPHS]
    records = []
    for number in range(count):
        source = sources[number % len(sources)]
        width = int(random.uniform(0.6, 1) * min(source.width, source.height * 4 / 3))
        height = width * 3 // 4
        left = random.integers(source.width - width + 1)
        top = random.integers(source.height - height + 1)
        region = source.crop((left, top, left + width, top + height))
        name = f"{number:04d}.jpg"
        region.resize(SIZE, Image.Resampling.BICUBIC).save(folder / name, quality=96)
        records.append(ImageRecord(name, name, 0, "photograph"))
    return build_index(records, [ClassRecord(0, "photograph")], folder)


def work(backbone, folder, count, arguments):
    """Name → function of what is timed with `count` images: decode, forward, extraction."""
    folder = folder / str(count)
    folder.mkdir()
    index = write_photographs(folder, count)

    def decode():
        paths = [folder / record.path for record in index.images]
        return np.stack([backbone.transform.pixels(load_image(path)) for path in paths])

    batches = torch.from_numpy(decode()).split(arguments.batch)

    def forward():
        for pixels in batches:
            backbone.patch_tokens(backbone.normalise(pixels), LAYER)

    def extraction():
        job = ShardJob("photographs", "all", index, folder, 0, 1, {LAYER: folder / "shard.h5"})
        extract(backbone, [job], 64, arguments.batch, max(1, arguments.threads - 1))

    return {"decode": decode, "forward": forward, "extraction": extraction}


def less(timing, other):
    """The difference of two Timings."""
    return Timing(timing.seconds - other.seconds, timing.cpu_seconds - other.cpu_seconds)


def row(label, images, timing, floor):
    """A line of the table; timing and floor: of `images` images."""
    return (
        f"| {label} | {images / timing.seconds:.2f} | {floor.seconds / timing.seconds:.1%} "
        f"| {1000 * timing.cpu_seconds / images:.1f} "
        f"| {floor.cpu_seconds / timing.cpu_seconds:.1%} |"
    )


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    keep_freed()  # as the rule's script does
    backbone = build_backbone(BackboneSpec("measured", "timm", arguments.model, "random"))
    few, many = sorted(arguments.images)
    with tempfile.TemporaryDirectory() as folder:
        functions = {
            f"{name}_{count}": function
            for count in (few, many)
            for name, function in work(backbone, Path(folder), count, arguments).items()
        }
        sizes = [path.stat().st_size for path in Path(folder, str(many)).glob("*.jpg")]
        times = best_times(arguments.repeats, **functions)
    further = {
        name: less(times[f"{name}_{many}"], times[f"{name}_{few}"])
        for name in ("forward", "extraction")
    }
    once = less(times[f"extraction_{few}"], further["extraction"].scaled(few / (many - few)))
    print(
        f"{arguments.model} at 224 px, JPEG files of 500×375 "
        f"({np.mean(sizes) / 1000:.0f} kB on average), batches of {arguments.batch}, "
        f"{arguments.threads} threads\n\n"
        "| | images/s | of the forward pass | CPU ms per image | of the forward pass |\n"
        "|---|---:|---:|---:|---:|"
    )
    for count in (few, many):
        floor = times[f"forward_{count}"]
        print(row(f"forward pass, {count} images in memory", count, floor, floor))
        print(
            row(f"extraction, {count} files to a shard", count, times[f"extraction_{count}"], floor)
        )
    floor = further["forward"]
    print(row("extraction, each further image", many - few, further["extraction"], floor))
    decode = times[f"decode_{many}"]
    print(
        f"\nA shard takes {once.seconds:.2f} s ({once.cpu_seconds:.2f} s of CPU) once. Decoding "
        f"alone, in one thread: {1000 * decode.cpu_seconds / many:.1f} ms of CPU per image."
    )


if __name__ == "__main__":
    main()
