"""Time of one training step on the CPU, side by side; prints a Markdown table.

Compared on equal batches and from equal weights: this workflow's sparse step and its dense
gradients, autograd with a full top-k, and the encoder's product alone in float32. Then the step
with an auxiliary loss, where a share of the features is dead, and Matryoshka's with five prefixes.
Beside them are other libraries' own steps, of those that are installed (`peers.py`). Rounds are
interleaved and the best is printed, since other work on the machine only adds time. The gradients
of the sparse step are compared with autograd's on the last batch.

    PYTHONPATH=workflow_scripts python benchmarks/bench_training.py --threads 2
"""

import argparse
import sys
import time
from functools import partial

import peers
import torch

from visae.sae.choices import Auxiliary
from visae.sae.families.batchtopk.trainer import BatchTopK
from visae.sae.families.matryoshka.trainer import Matryoshka
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.trainer import normalise_rows


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=4096, help="tokens per step, B")
    parser.add_argument("--width", type=int, default=768, help="activation width, D")
    parser.add_argument("--expansion-factor", type=int, default=8, help="F / D")
    parser.add_argument("--k", type=int, default=64, help="active features per token, K")
    parser.add_argument("--warm-up", type=int, default=3, help="steps before the clock starts")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each kind")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--dead", type=float, nargs="*", default=[0.0, 0.05, 0.1], help="shares")
    parser.add_argument("--only", default="", help="parts of the names of steps, with commas")
    return parser.parse_args()


def autograd_step(sae):
    """A step as usually written: full top-k, dense autograd, clipping and Adam; sets gradients."""
    weights = list(sae.weights.values())
    optimizer = torch.optim.Adam(weights, lr=1e-3)

    def step(x_bd, update=True):
        encoder, bias, decoder = weights
        normalise_rows(decoder)
        codes = torch.relu(torch.nn.functional.linear(x_bd, encoder, bias))
        smallest = codes.flatten().topk(sae.spec.sparsity * len(x_bd)).values[-1]
        loss = ((codes * (codes >= smallest)) @ decoder - x_bd).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if update:
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()

    return step


def auxiliary_step(spec, width, share):
    """The step with an auxiliary loss, where a `share` of the features has long been idle."""
    settings = TrainingSettings(auxiliary=Auxiliary(peers.LONG))
    sae = BatchTopK(spec, width, settings, "cpu")
    dead = round(share * sae.features)
    sae.weights["encoder_bias"].data[:dead] -= 1.0

    def step(x_bd):
        sae.dead_features.idle[:dead] = peers.LONG
        return sae.step(x_bd)

    return step


def peer_steps(spec, width, tokens, shares):
    """{name: step} of the libraries that are installed; of one with its auxiliary loss too."""
    setting = peers.Setting(width, spec.features(width), spec.sparsity, tokens)
    dead = partial(peers.DictionaryLearning, setting)
    kinds = {
        **{library.library: partial(library, setting) for library in peers.BATCHTOPK},
        **{
            f"{peers.DictionaryLearning.library}, {share:.0%} dead": partial(dead, share)
            for share in shares
            if share
        },
        peers.DictionaryLearningMatryoshka.library: partial(
            peers.DictionaryLearningMatryoshka, setting
        ),
    }
    steps = {}
    for name, build in kinds.items():
        try:
            steps[name] = build().step
        except ImportError as error:
            print(f"left out: {name} ({error})", file=sys.stderr)
    return steps


def gradient_error(sae, x_bd):
    """Largest difference of the sparse gradients from autograd's, relative to the largest one."""
    normalise_rows(sae.weights["decoder_weight"])
    sae.set_sparse_gradients(x_bd)
    sparse = [weight.grad.clone() for weight in sae.weights.values()]
    autograd_step(sae)(x_bd, update=False)
    pairs = zip(sparse, sae.weights.values(), strict=True)
    return max(float((s - w.grad).abs().max() / w.grad.abs().max()) for s, w in pairs)


def main():
    arguments = parsed_arguments()
    peers.install()
    torch.set_num_threads(arguments.threads)
    tokens, width = arguments.tokens, arguments.width
    spec = SaeSpec("batchtopk", arguments.expansion_factor, arguments.k)
    features = spec.features(width)
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(width, width, generator=generator) / width**0.5
    steps = arguments.warm_up + arguments.rounds
    batches = [torch.randn(tokens, width, generator=generator) @ mixing for _ in range(steps)]
    saes = [BatchTopK(spec, width, TrainingSettings(), "cpu") for _ in range(3)]
    saes[1].set_gradients = saes[1].set_dense_gradients
    encoder, pre_bf = saes[0].encoder()[0], torch.empty(tokens, features)
    kinds = {
        "encoder product alone": lambda x_bd: torch.mm(x_bd, encoder.T, out=pre_bf),
        "sparse step (used on the CPU)": saes[0].step,
        "dense products, bracketed selection": saes[1].step,
        "dense autograd, full top-k": autograd_step(saes[2]),
    }
    for share in arguments.dead:
        kinds[f"auxiliary loss, {share:.0%} dead"] = auxiliary_step(spec, width, share)
    prefixed = SaeSpec("matryoshka", spec.expansion_factor, spec.sparsity)
    kinds["matryoshka, five prefixes"] = Matryoshka(prefixed, width, TrainingSettings(), "cpu").step
    kinds |= peer_steps(spec, width, tokens, arguments.dead)
    chosen = arguments.only.split(",")
    kinds = {kind: step for kind, step in kinds.items() if any(part in kind for part in chosen)}
    best = {kind: [float("inf")] * 2 for kind in kinds}
    for number, x_bd in enumerate(batches):
        for kind, step in kinds.items():
            started = time.perf_counter(), time.process_time()
            step(x_bd)
            if number >= arguments.warm_up:
                ended = time.perf_counter(), time.process_time()
                spent = [end - start for start, end in zip(started, ended, strict=True)]
                best[kind] = [min(pair) for pair in zip(best[kind], spent, strict=True)]
    print(
        f"B {tokens}, D {width}, F {features}, K {spec.sparsity}, {arguments.threads} threads, "
        f"float32, best of {arguments.rounds}:\n"
    )
    print("| step | seconds | CPU seconds | of the sparse step's |\n|---|---:|---:|---:|")
    sparse = best.get("sparse step (used on the CPU)", [float("nan")] * 2)
    for kind, (seconds, cpu) in best.items():
        print(f"| {kind} | {seconds:.3f} | {cpu:.3f} | {cpu / sparse[1]:.2f} |")
    error = gradient_error(saes[0], batches[-1])
    print(f"\nLargest relative difference of the sparse gradients from autograd's: {error:.1e}")


if __name__ == "__main__":
    main()
