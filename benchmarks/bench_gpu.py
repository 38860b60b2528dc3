"""What a GPU does with this workflow: agreement with the CPU, speed and memory of each stage.

    PYTHONPATH=workflow_scripts python benchmarks/bench_gpu.py            # make bench-gpu
    PYTHONPATH=workflow_scripts python benchmarks/bench_gpu.py --small    # anywhere, in seconds

Needs PyTorch, NumPy, SciPy, h5py, safetensors, timm and transformers, so that it runs in a bare
CUDA image: kernels for the CPU (numba) are not called. Where overcomplete and scikit-learn are
installed, they are measured beside. Prints a table and writes JSON. A part that fails is a line
that says why, and the others still run; the exit status is then 1.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch

COMPILERS = "numba", "numba.core", "numba.core.caching", "numba.extending", "llvmlite"
for name in (*COMPILERS, "llvmlite.binding"):
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        sys.modules[name] = mock.MagicMock()

# ruff: noqa: E402 (numba is stood in for before it is imported)
from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.backbone import autocast
from visae.base.files import write_text
from visae.encoding.encoders import DenseEncoder, encoder_side, halves_are_faster
from visae.probing.multinomial import fit_probe
from visae.sae.families import FAMILIES
from visae.sae.model import SparseAutoencoder
from visae.sae.screen_halves import HALVES, HalfScreen, split_tokens
from visae.sae.specs import SaeSpec, TrainingSettings

EXPANSIONS, BUDGETS = (8, 16, 32), (64, 128, 192, 256)
"""The paper's twelve configurations (Table 1)."""
MINIMUM_ACTIVE, VARIANCE_FLOOR = (1, 5, 20), 1e-8
COUNTED_SHARED_STEP = 22, 25
"""Milliseconds that a shared batch of all twelve is counted to take on an H200."""


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="tiny shapes, on the CPU too")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, default=Path("bench_gpu.json"))
    return parser.parse_args()


class Bench:
    """The shapes to measure, and what was found: rows of (part, what, value, unit)."""

    def __init__(self, device, small):
        self.device, self.small = torch.device(device), small
        self.tokens, self.width, self.patches = (64, 16, 16) if small else (4096, 768, 196)
        self.repeats = 2 if small else 10
        self.specs = [
            SaeSpec("batchtopk", factor, k // 16 if small else k)
            for factor in EXPANSIONS
            for k in BUDGETS
        ]
        self.settings = TrainingSettings(batch_size=self.tokens, precision="float16")
        self.rows = []
        self.generator = torch.Generator().manual_seed(0)

    def say(self, part, what, value, unit=""):
        self.rows.append({"part": part, "what": what, "value": value, "unit": unit})
        print(f"| {part} | {what} | {value:.4g} | {unit} |", flush=True)

    def random(self, *shape):
        """The same numbers on any device."""
        return torch.randn(*shape, generator=self.generator).to(self.device)

    def seconds(self, function):
        """The median of some calls, after one that is not counted."""
        times = []
        for _ in range(self.repeats + 1):
            self.wait()
            start = time.perf_counter()
            function()
            self.wait()
            times.append(time.perf_counter() - start)
        return float(np.median(times[1:]))

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def begin(self):
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak(self, part):
        if self.device.type == "cuda":
            self.say(part, "peak memory", torch.cuda.max_memory_allocated() / 1e9, "GB")

    def trainer(self, spec, device=None, width=None, settings=None):
        kind = FAMILIES.module(spec.family, "trainer").TRAINER
        arguments = spec, width or self.width, settings or self.settings, device or self.device
        trainer = kind(*arguments)
        trainer.set_gradients = trainer.set_dense_gradients  # as on CUDA, wherever this runs
        return trainer

    def sae(self, spec):
        """A random SAE with about K codes a token."""
        weight = torch.nn.functional.normalize(
            self.random(spec.features(self.width), self.width), dim=1
        )
        share = 1 - spec.sparsity / len(weight)
        threshold = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(share))
        return SparseAutoencoder(
            encoder_weight=weight,
            encoder_bias=torch.zeros(len(weight), device=self.device),
            decoder_weight=weight.clone(),
            threshold=threshold.to(self.device),
            activation_mean=torch.zeros(self.width, device=self.device),
            activation_std=torch.ones((), device=self.device),
        )


def far(here, there):
    """Largest difference, relative to the largest value."""
    here, there = (torch.as_tensor(each).detach().double().cpu() for each in (here, there))
    return float((here - there).abs().max() / there.abs().max())


def agreement_of_training(bench):
    """Losses of some steps in float16 on the device, and in float32 on both, beside the CPU's."""
    spec, width = SaeSpec("batchtopk", 4, 4), 64
    batches = [torch.randn(256, width, generator=bench.generator) for _ in range(20)]
    losses = {}
    for name, device, precision in (
        ("CPU, float32", "cpu", "float32"),
        ("float32", bench.device, "float32"),
        ("float16", bench.device, "float16"),
    ):
        settings = TrainingSettings(batch_size=256, precision=precision)
        trainer = bench.trainer(spec, torch.device(device), width, settings)
        steps = [trainer.step(batch.to(device)) for batch in batches]
        losses[name] = torch.stack([step.loss.cpu() for step in steps])
    reference = losses.pop("CPU, float32")
    for name, found in losses.items():
        bench.say("agreement", f"training, {name}: losses of 20 steps", far(found, reference))


def agreement_of_encoding(bench):
    """A unit of images on the device beside the CPU."""
    sae, side = bench.sae(SaeSpec("batchtopk", 8, 4)), int(bench.patches**0.5)
    x_npd = bench.random(4, bench.patches, bench.width)
    units = [
        DenseEncoder(sae.to(device), (side, side), MINIMUM_ACTIVE, VARIANCE_FLOOR)(x_npd.to(device))
        for device in (bench.device, torch.device("cpu"))
    ]
    for name in ("codes_max", "reconstructions_max", "moran_sum"):
        here, there = (getattr(unit, name) for unit in units)
        bench.say("agreement", f"encoding, {name}", far(here, there))
    counts = [int(unit.firing_count.sum()) for unit in units]
    bench.say("agreement", "encoding, codes more or less", abs(counts[0] - counts[1]), "codes")


def probe_problem(bench):
    """Codes of images of some classes: training and test, with labels."""
    images, features, classes = (120, 20, 3) if bench.small else (3000, 768, 100)
    labels = np.arange(2 * images) % classes
    centres = bench.random(classes, features).cpu().numpy()
    x_nd = bench.random(2 * images, features).cpu().numpy() + centres[labels] / 2
    return x_nd[:images], labels[:images], x_nd[images:], labels[images:]


def probes(bench):
    """Time of a multinomial probe, its agreement with the CPU's, and scikit-learn beside it."""
    x_nd, labels, test_nd, test_labels = probe_problem(bench)
    device = "cpu:0" if bench.device.type == "cpu" else str(bench.device)  # not SciPy's, of "cpu"
    here = fit_probe(x_nd, labels, device=device)
    there = fit_probe(x_nd, labels)
    accuracies = [probe.accuracy(test_nd, test_labels) for probe in (here, there)]
    bench.say("agreement", "probes, accuracy", abs(accuracies[0] - accuracies[1]))
    bench.say("probes", "here", bench.seconds(lambda: fit_probe(x_nd, labels, device=device)), "s")
    bench.say("probes", "on the CPU", bench.seconds(lambda: fit_probe(x_nd, labels)), "s")
    if importlib.util.find_spec("sklearn"):
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(max_iter=500)
        start = time.perf_counter()
        model.fit(x_nd, labels)
        bench.say("probes", "scikit-learn", time.perf_counter() - start, "s")
        accuracy = model.score(test_nd, test_labels)
        bench.say("agreement", "probes, accuracy of scikit-learn", abs(accuracy - accuracies[0]))


def training(bench):
    """Step time of each configuration, of all on a shared batch, and overcomplete's."""
    x_bd = bench.random(bench.tokens, bench.width)
    for spec in bench.specs:
        trainer = bench.trainer(spec)
        seconds = bench.seconds(lambda trainer=trainer: trainer.step(x_bd))
        bench.say("training", f"step of {spec.name}", 1000 * seconds, "ms")
    trainer = None  # whose memory the twelve need
    trainers = [bench.trainer(spec) for spec in bench.specs]
    seconds = bench.seconds(lambda: [each.step(x_bd) for each in trainers])
    low, high = COUNTED_SHARED_STEP
    counted = "" if bench.small else f" (counted for an H200: {low} to {high})"
    bench.say("training", f"step of all 12 on a shared batch{counted}", 1000 * seconds, "ms")
    trainers.clear()
    if importlib.util.find_spec("overcomplete") and not bench.small:
        from peers import Overcomplete, Setting

        spec = bench.specs[0]
        size = bench.width, spec.features(bench.width), spec.sparsity, bench.tokens
        peer = Overcomplete(Setting(*size, device=bench.device))
        seconds = bench.seconds(lambda: peer.step(x_bd))
        bench.say("training", f"overcomplete's step of {spec.name}", 1000 * seconds, "ms")


def encoding(bench):
    """Images per second by the whole and the screened product: one SAE, and all twelve."""
    images, side = DenseEncoder.unit_images, int(bench.patches**0.5)
    x_npd = bench.random(images, bench.patches, bench.width)
    saes = [bench.sae(spec) for spec in bench.specs]
    for screened in (False, True):
        encoders = [
            DenseEncoder(sae, (side, side), MINIMUM_ACTIVE, VARIANCE_FLOOR, screened)
            for sae in saes
        ]
        way = "screened" if screened else "float32"
        seconds = bench.seconds(lambda encoders=encoders: [each(x_npd) for each in encoders])
        bench.say("encoding", f"12 SAEs, {way}", images / seconds, "images/s")
        seconds = bench.seconds(lambda encoder=encoders[0]: encoder(x_npd))
        bench.say("encoding", f"{bench.specs[0].name}, {way}", images / seconds, "images/s")
    if bench.device.type == "cuda":
        chosen = halves_are_faster(bench.device)
        bench.say("encoding", "large encoders are screened here", int(chosen), "yes or no")
    tokens = split_tokens(x_npd.flatten(0, 1))
    found = HalfScreen(tokens).find(encoder_side(HALVES, saes[0]), slice(None))
    if found is not None:
        share = len(found.codes) / int((found.codes > 0).sum())
        bench.say("encoding", "candidates per kept code", share)


def agreement_of_screening(bench):
    """A unit of images by the screened product beside the whole one, with outlying channels too."""
    side, spec = int(bench.patches**0.5), bench.specs[0]
    x_npd = bench.random(4, bench.patches, bench.width)
    for factor in (1, 1000):
        x_npd[..., :3] *= factor
        sae = bench.sae(spec)
        sae.encoder_weight[:, :3] /= factor
        screened, whole = (
            DenseEncoder(sae, (side, side), MINIMUM_ACTIVE, VARIANCE_FLOOR, way)(x_npd)
            for way in (True, False)
        )
        part = f"screening, outlying channels × {factor}"
        for name in ("codes_max", "reconstructions_max", "moran_sum"):
            far_off = far(getattr(screened, name), getattr(whole, name))
            bench.say("agreement", f"{part}, {name}", far_off)
        counts = [int(unit.firing_count.sum()) for unit in (screened, whole)]
        bench.say("agreement", f"{part}, codes more or less", abs(counts[0] - counts[1]), "codes")


def extraction(bench):
    """Images per second through a ViT-B/16 (a tiny one in small mode), pixels in memory."""
    small = {"patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2}
    spec = BackboneSpec(
        "measured",
        "timm",
        "vit_tiny_patch16_224" if bench.small else "vit_base_patch16_224",
        "random",
        image_size=32 if bench.small else 224,
        options=small if bench.small else {},
    )
    backbone = build_backbone(spec).to(bench.device)
    images, size = (2, 32) if bench.small else (64, 224)
    pixels = torch.randint(0, 256, (images, 3, size, size), generator=bench.generator)
    pixels = pixels.to(torch.uint8).to(bench.device)
    for precision in ("float32", "float16"):

        def forward(precision=precision):
            with autocast(precision, bench.device):
                backbone.patch_tokens(backbone.normalise(pixels), backbone.depth - 1)

        bench.say("extraction", precision, images / bench.seconds(forward), "images/s")


def skipped_tests(bench):
    """The tests that need a GPU, where pytest and all that the workflow needs are installed."""
    needed = ("pytest", "numba", "sklearn", "jaxtyping")
    if bench.device.type != "cuda" or not all(map(importlib.util.find_spec, needed)):
        return
    root = Path(__file__).parents[1]
    files = "tests/activations/test_tokens.py", "tests/evals/test_metrics_on_gpu.py"
    command = sys.executable, "-m", "pytest", "-q", *files, "-k", "pinned or cuda"
    subprocess.run(command, cwd=root, check=True)
    bench.say("agreement", "tests that need a GPU: failed", 0)


PARTS = (
    agreement_of_training,
    agreement_of_encoding,
    agreement_of_screening,
    training,
    encoding,
    extraction,
    probes,
    skipped_tests,
)


def main():
    arguments = parsed_arguments()
    if arguments.device == "cpu" and not arguments.small:
        sys.exit("no GPU here: --small runs on the CPU")
    bench = Bench(arguments.device, arguments.small)
    gpu = bench.device.type == "cuda"
    name = torch.cuda.get_device_name() if gpu else "CPU"
    print(
        f"{name}, torch {torch.__version__}\n\n| part | what | value | unit |\n|---|---|---:|---|"
    )
    failed, started = {}, time.perf_counter()
    for part in PARTS:
        bench.begin()
        try:
            part(bench)
        except Exception as error:
            failed[part.__name__] = f"{type(error).__name__}: {error}"
            print(f"| {part.__name__} | failed: {failed[part.__name__]} | | |", flush=True)
        bench.peak(part.__name__)
    result = {
        "device": name,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "small": arguments.small,
        "seconds": time.perf_counter() - started,
        "failed": failed,
        "rows": bench.rows,
    }
    write_text(arguments.output, json.dumps(result, indent=1))
    print(f"\n{result['seconds']:.0f} s; written to {arguments.output}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
