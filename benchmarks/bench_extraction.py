"""Speed of extraction from JPEG files against the backbone's own forward pass.

    PYTHONPATH=workflow_scripts python benchmarks/bench_extraction.py --images 32 --threads 2

Prints a Markdown table. A ViT-B/16 with random weights reads photographs of ImageNet's usual
size, 500×375; the floor is its forward pass, up to the same block and in batches of the same
size, on pixels that are in memory already. Best of some repetitions, taken in turns.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image
from timing import best_times

from visae.activations.extraction import ShardJob, extract
from visae.backbones import BackboneSpec, build_backbone
from visae.images.decoding import load_image
from visae.images.index import ClassRecord, ImageRecord, build_index

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")
SIZE = (500, 375)
LAYER = 11


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="deit_base_patch16_224.fb_in1k", help="of timm")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
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


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    backbone = build_backbone(BackboneSpec("measured", "timm", arguments.model, "random"))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        index = write_photographs(folder, arguments.images)
        paths = [folder / record.path for record in index.images]
        size = sum(path.stat().st_size for path in paths) / len(paths)

        def decode():
            return np.stack([backbone.transform.pixels(load_image(path)) for path in paths])

        batches = torch.from_numpy(decode()).split(arguments.batch)

        def forward():
            for pixels in batches:
                backbone.patch_tokens(backbone.normalise(pixels), LAYER)

        def extraction(workers):
            job = ShardJob("photographs", "all", index, folder, 0, 1, {LAYER: folder / "shard.h5"})
            extract(backbone, [job], 64, arguments.batch, workers)

        times = best_times(
            arguments.repeats,
            decode=decode,
            forward=forward,
            extraction=lambda: extraction(max(1, arguments.threads - 1)),
        )
    floor = times["forward"]
    print(
        f"{arguments.model} at 224 px, {arguments.images} JPEG files of 500×375 "
        f"({size / 1000:.0f} kB on average), {arguments.threads} threads\n\n"
        "| | images/s | of the forward pass | CPU s per image |\n|---|---:|---:|---:|"
    )
    labels = {
        "forward": "forward pass, pixels in memory",
        "extraction": "extraction: files to shard",
        "decode": "decoding alone, one process",
    }
    for name, label in labels.items():
        seconds, cpu_seconds = times[name]
        share = f"{floor.seconds / seconds:.0%}" if name != "decode" else "–"
        print(
            f"| {label} | {arguments.images / seconds:.2f} | {share} "
            f"| {cpu_seconds / arguments.images:.3f} |"
        )


if __name__ == "__main__":
    main()
