"""Ways of training an SAE, and other libraries' own, on equal tokens: FVU at one L0, dead features.

On the caches of a finished `make demo`. Every SAE sees the same batches in the same order. Each is
judged on all tokens of the validation split, at the threshold that keeps K codes per token there.
A feature is dead that has no kept code. Prints a Markdown table; more seeds add their spread.

    python benchmarks/bench_recipes.py --seeds 3

Other libraries are installed as `peers.py` says.
"""

import argparse
import statistics
import sys
from pathlib import Path

import peers
import torch
from timing import clock

from visae.activations.normalisation import normalise, statistics_of
from visae.activations.opening import open_cache
from visae.activations.tokens import TokenStream
from visae.sae.choices import as_settings
from visae.sae.families import FAMILIES
from visae.sae.specs import SaeSpec, TrainingSettings

ROOT = Path(__file__).resolve().parents[1]
FACTOR, K, BATCH, EPOCHS, LAYER = 4, 24, 128, 3, 3
PAPER = {"learning_rate": 2e-3}


def rising(rate, rise, fall, auxiliary=None, k=K, dead_after=640, **more):
    """Settings of a schedule, with an auxiliary loss or without one."""
    chosen = {"learning_rate": rate, "schedule": {"warm_up": rise, "decay": fall}, **more}
    if auxiliary:
        chosen["auxiliary"] = {"dead_after": dead_after, "coefficient": auxiliary, "k": k}
    return chosen


RECIPES = {
    "the paper's, rate 2e-3": ("batchtopk", PAPER),
    "linear fall over the whole run": ("batchtopk", rising(2e-3, 0, 1)),
    "`loss: sum`, with which the clip acts": ("batchtopk", PAPER | {"loss": "sum"}),
    "the same without a clip": ("batchtopk", PAPER | {"loss": "sum", "gradient_clip": None}),
    "`loss: sum`, rate 4e-3, fall 0.5": ("batchtopk", rising(4e-3, 0, 0.5, loss="sum")),
    "rate 4e-3, fall 0.3": ("batchtopk", rising(4e-3, 0, 0.3)),
    "rate 4e-3, rise 0.1, fall 0.4": ("batchtopk", rising(4e-3, 0.1, 0.4)),
    "the same, auxiliary loss 1/8": ("batchtopk", rising(4e-3, 0.1, 0.4, 1 / 8)),
    "rate 3e-3, rise 0.1, fall 0.3, auxiliary loss 1/16": (
        "batchtopk", rising(3e-3, 0.1, 0.3, 1 / 16),
    ),
    "rate 3.5e-3, rise 0.1, fall 0.25, auxiliary loss 1/16": (
        "batchtopk", rising(3.5e-3, 0.1, 0.25, 1 / 16),
    ),
    "rate 4e-3, rise 0.15, fall 0.25, auxiliary loss 1 of 12 features": (
        "batchtopk", rising(4e-3, 0.15, 0.25, 1, 12, 1280),
    ),
    "encoder from decoder": ("batchtopk", PAPER | {"encoder_from_decoder": 1.0}),
    "encoder from 0.7 decoder, rate 3.5e-3, rise 0.05, fall 0.25, auxiliary loss 1 of 96": (
        "batchtopk", rising(3.5e-3, 0.05, 0.25, 1, 96, 2560, encoder_from_decoder=0.7),
    ),
    "encoder from 0.87 decoder, rate 3.2e-3, rise 0.05, fall 0.25, auxiliary loss 1 of 96": (
        "batchtopk", rising(3.2e-3, 0.05, 0.25, 1, 96, 2560, encoder_from_decoder=0.87),
    ),
    "encoder from 0.9 decoder, rate 2.8e-3, rise 0.05, fall 0.25, auxiliary loss 1 of 96": (
        "batchtopk", rising(2.8e-3, 0.05, 0.25, 1, 96, 1280, encoder_from_decoder=0.9),
    ),
    "TopK, rate 4e-3, fall 0.4": ("topk", rising(4e-3, 0, 0.4)),
    "Matryoshka, rate 4e-3, rise 0.1, fall 0.4": ("matryoshka", rising(4e-3, 0.1, 0.4)),
    "Gated, rate 2e-3": ("gated", PAPER),
}  # fmt: skip


class Data:
    """Training batches and held-out tokens of one backbone, normalised, in memory.

    folder: the `activations/{backbone}` of a finished demo.
    """

    def __init__(self, folder):
        place = folder / f"layer{LAYER}/photographs"
        self._cache = open_cache(place / "train.h5")
        mean, std = statistics_of(self._cache)
        self._mean, self._std = torch.from_numpy(mean).float(), torch.tensor(float(std))
        with open_cache(place / "val.h5") as held_out:
            units = [torch.from_numpy(unit) for unit in held_out.image_units(64)]
        self.held_out = self._normalised(torch.cat([unit.flatten(0, 1) for unit in units]))
        self.width = self.held_out.shape[1]

    def _normalised(self, tokens_bd):
        return normalise(tokens_bd, self._mean, self._std)

    def batches(self, seed):
        """All batches of the run, in the order that training gives them."""
        stream = TokenStream(self._cache, BATCH, seed)
        return [self._normalised(batch) for n in range(EPOCHS) for batch in stream.batches(n)]


def judged(pre_bf, decoder, bias, x_bd, thresholds=0.0):
    """(FVU, dead features) of an SAE at L0 = K: its codes before the threshold, its decoder.

    thresholds: those of its features, which are moved together until K codes are kept.
    """
    codes = pre_bf.relu()
    above = codes - thresholds
    floor = above.flatten().topk(K * len(codes), sorted=False).values.min()
    codes = torch.where(above >= floor, codes, 0.0)
    error = (x_bd - codes @ decoder - bias).double().square().sum()
    spread = (x_bd - x_bd.mean(dim=0)).double().square().sum()
    return float(error / spread), int((codes.amax(dim=0) == 0).sum())


def own(family, chosen, data, seed, batches):
    """Train one of this library's families; (FVU, dead features)."""
    settings = TrainingSettings(batch_size=BATCH, epochs=EPOCHS, seed=seed, **as_settings(chosen))
    trainer = FAMILIES.module(family, "trainer").TRAINER(
        SaeSpec(family, FACTOR, K), data.width, settings, "cpu"
    )
    for step, batch in enumerate(batches):
        trainer.begin_step(step, len(batches))
        trainer.step(batch)
    encoder, bias, decoder = trainer.finish()
    thresholds = trainer.threshold()
    pre_bf = data.held_out @ encoder.T + bias
    return judged(pre_bf, decoder, 0.0, data.held_out, 0.0 if thresholds is None else thresholds)


def other(library, rate, data, seed, batches):
    """The same of an SAE of another library, by its own step."""
    peer = library(
        peers.Setting(data.width, FACTOR * data.width, K, BATCH, rate, seed, len(batches))
    )
    for x_bd in batches:
        peer.step(x_bd)
    with torch.no_grad():
        return judged(*peer.evaluated(data.held_out), data.held_out)


OTHERS = {
    f"{peers.DictionaryLearning.library}, its own rate": (peers.DictionaryLearning, None),
    **{f"{library.library}, rate 2e-3": (library, 2e-3) for library in peers.BATCHTOPK},
}


def spread(values, text):
    """The mean of some values, and how far they lie apart."""
    middle = text(statistics.mean(values))
    return middle if len(values) == 1 else f"{middle} ({text(min(values))}–{text(max(values))})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=ROOT / "results/demo")
    parser.add_argument("--backbones", nargs="+", default=["dino_small", "mae_small"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", help="recipes whose name has this")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    peers.install()
    torch.manual_seed(0)
    data = {name: Data(arguments.study / "activations" / name) for name in arguments.backbones}
    kinds = {
        name: lambda *run, family=family, chosen=chosen: own(family, chosen, *run)
        for name, (family, chosen) in RECIPES.items()
    } | {
        name: lambda *run, library=library, rate=rate: other(library, rate, *run)
        for name, (library, rate) in OTHERS.items()
    }
    seeds = range(42, 42 + arguments.seeds)
    batches = {(name, seed): each.batches(seed) for name, each in data.items() for seed in seeds}
    print("| recipe |", " | ".join(f"{name}: FVU | dead" for name in data), "| seconds |")
    print("|---|" + "---:|" * (2 * len(data) + 1))
    for kind, trained in kinds.items():
        if arguments.only not in kind:
            continue
        cells, seconds = [], 0.0
        try:
            for name, each in data.items():
                runs = [clock(trained, each, seed, batches[name, seed]) for seed in seeds]
                seconds += sum(timing.cpu_seconds for _, timing in runs)
                fvu, dead = zip(*(result for result, _ in runs), strict=True)
                cells += [spread(fvu, "{:.5f}".format), spread(dead, "{:.0f}".format)]
        except ImportError as error:
            print(f"left out: {kind} ({error})", file=sys.stderr)
            continue
        print(f"| {kind} |", " | ".join(cells), f"| {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
