"""Time of one training step on the CPU, side by side; prints a Markdown table.

Compared on equal batches and from equal weights: this workflow's sparse step and its dense
gradients, autograd with a full top-k, overcomplete's model and loop body (where it is installed),
and the encoder's product alone in float32. Then the step with an auxiliary loss,
where a share of the features is dead, and Matryoshka's with five prefixes; beside them those of
dictionary-learning, where it is installed. Rounds are interleaved and the best is printed, since
other work on the machine only adds time. The gradients of the sparse step are compared with
autograd's on the last batch.

    PYTHONPATH=workflow_scripts python benchmarks/bench_training.py --threads 2
"""

import argparse
import time

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


def overcomplete_step(spec, width, tokens, device="cpu"):
    """overcomplete's model in the body of its `train_sae` loop, without the monitoring."""
    import matplotlib

    # overcomplete 0.3.0 calls a function that newer versions of matplotlib no longer have.
    matplotlib.cm.get_cmap = matplotlib.colormaps.get_cmap
    from overcomplete.sae import BatchTopKSAE

    torch.manual_seed(42)
    features = spec.features(width)
    model = BatchTopKSAE(width, features, top_k=spec.sparsity * tokens, device=device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(x_bd):
        optimizer.zero_grad()
        _, _, x_hat = model(x_bd)
        model.get_dictionary()  # as `train_sae` does for its criterion
        (x_bd - x_hat).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


LONG = 10**9


def auxiliary_step(spec, width, share):
    """The step with an auxiliary loss, where a `share` of the features has long been idle."""
    settings = TrainingSettings(auxiliary=Auxiliary(LONG))
    sae = BatchTopK(spec, width, settings, "cpu")
    dead = round(share * sae.features)
    sae.weights["encoder_bias"].data[:dead] -= 1.0

    def step(x_bd):
        sae.dead_features.idle[:dead] = LONG
        return sae.step(x_bd)

    return step


def peer_steps(spec, width, shares):
    """{name: step} of dictionary-learning's trainers, with its auxiliary loss."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer

    features = spec.features(width)
    common = {
        "steps": LONG,
        "activation_dim": width,
        "dict_size": features,
        "k": spec.sparsity,
        "layer": 0,
        "lm_name": "none",
        "device": "cpu",
    }
    halves = [1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 2]
    steps = {
        "matryoshka": MatryoshkaBatchTopKTrainer(**common, group_fractions=halves),
        **{f"{share:.0%} dead": BatchTopKTrainer(**common) for share in shares},
    }

    def of(trainer, share):
        dead = round(share * features)

        def step(x_bd):
            trainer.num_tokens_since_fired[:dead] = LONG
            trainer.update(1, x_bd)

        if dead:
            trainer.ae.encoder.bias.data[:dead] -= 1.0
        return step

    return {
        f"dictionary-learning 0.1.0, {name}": of(trainer, share)
        for (name, trainer), share in zip(steps.items(), (0, *shares), strict=True)
    }


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
    try:
        kinds["overcomplete 0.3.0"] = overcomplete_step(spec, width, tokens)
    except ImportError:
        print("overcomplete is not installed: left out\n")
    for share in arguments.dead:
        kinds[f"auxiliary loss, {share:.0%} dead"] = auxiliary_step(spec, width, share)
    prefixed = SaeSpec("matryoshka", spec.expansion_factor, spec.sparsity)
    kinds["matryoshka, five prefixes"] = Matryoshka(prefixed, width, TrainingSettings(), "cpu").step
    try:
        kinds |= peer_steps(spec, width, arguments.dead)
    except ImportError:
        print("dictionary-learning is not installed: left out\n")
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
