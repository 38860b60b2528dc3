"""The training pass: one for all SAEs, logged, stopped by NaN, resumed to the same bits."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cache_fixtures import write_cache
from sae_fixtures import mixture_activations

from visae.activations.cache import ActivationCache
from visae.activations.normalisation import normalise
from visae.activations.tokens import TokenStream
from visae.base.errors import UserError
from visae.sae import resume, training
from visae.sae.checkpoint import check_fits, load_sae
from visae.sae.families.batchtopk.trainer import BatchTopK
from visae.sae.families.relu.trainer import ReLU
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.trainer import Trainer, initial_weights
from visae.sae.training import train, train_and_save

SETTINGS = TrainingSettings(
    batch_size=50,
    learning_rate=0.02,
    log_interval=4,
    checkpoint_minutes=0,
    window_images=8,
    epochs=2,
)
SPECS = [SaeSpec("batchtopk", 4, 3), SaeSpec("batchtopk", 8, 2)]


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """(train, val) caches of 40 and 20 images with 12 patches: 20 steps of 50 tokens."""
    folder = tmp_path_factory.mktemp("caches")
    train_path = write_cache(folder, mixture_activations(40, 12, seed=0), shards=2)
    val_path = write_cache(folder, mixture_activations(20, 12, seed=1), split="val")
    with ActivationCache(train_path) as train_cache, ActivationCache(val_path) as val_cache:
        yield train_cache, val_cache


def read(folder, specs=SPECS):
    names = ("model.safetensors", "training.jsonl")
    return [(folder / spec.name / name).read_bytes() for spec in specs for name in names]


@pytest.fixture(scope="module")
def reference(caches, tmp_path_factory):
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("reference")
    train_and_save(SPECS, *caches, folder, SETTINGS, "cpu")
    return folder


def test_one_pass_for_several_saes_equals_one_at_a_time(caches, reference, tmp_path):
    for spec in SPECS:
        train_and_save([spec], *caches, tmp_path, SETTINGS, "cpu")
    assert read(tmp_path) == read(reference)


def test_the_folder_says_what_was_trained(caches, reference):
    train_cache, val_cache = caches
    saved = load_sae(reference / "batchtopk_4x_k3")
    check_fits(saved, val_cache.info, reference)
    assert saved.config["data"]["cache_fingerprint"] == train_cache.fingerprint
    assert saved.config["data"]["images"] == 40
    assert saved.config["expansion_factor"] == 4
    assert saved.config["training"]["learning_rate"] == 0.02
    assert saved.config["training"]["precision"] == "float32"
    assert saved.config["threshold"] == pytest.approx(float(saved.model.threshold))
    assert abs(saved.config["held_out"]["l0"] - 3) <= 0.03
    tokens = torch.from_numpy(val_cache.read_chunk(0).reshape(-1, 8))
    codes = saved.model.encode(saved.model.normalise(tokens))
    reconstruction = saved.model.denormalise(saved.model.decode(codes))
    residual = (tokens - reconstruction).square().sum()
    assert residual < 0.8 * (tokens - tokens.float().mean(0)).square().sum()
    np.testing.assert_allclose(saved.model.activation_mean, train_cache.mean, rtol=1e-6)


@pytest.mark.parametrize("rule", ["quantile", "batch_minimum"])
def test_saes_may_normalise_what_they_encode_by_other_statistics(caches, tmp_path, rule):
    """Held-out activations are the training's in other units, which their own statistics undo."""
    train_cache, _ = caches
    settings = replace(SETTINGS, threshold_rule=rule, threshold_images=40)
    train_tokens = np.concatenate(
        [train_cache.read_chunk(n) for n in range(len(train_cache.chunks))]
    )
    moved = write_cache(tmp_path / "moved", 4 * train_tokens + np.float16(2), split="val")
    with ActivationCache(moved) as held_out:
        found = {}
        for name, cache, normalising in (
            ("same", train_cache, None),
            ("own", held_out, held_out),
            ("training", held_out, train_cache),
        ):
            where = tmp_path / name
            train_and_save(
                SPECS, train_cache, cache, where, settings, "cpu", normalising=normalising
            )
            found[name] = load_sae(where / SPECS[0].name)
        np.testing.assert_allclose(found["own"].model.activation_mean, held_out.mean, rtol=1e-5)
        assert float(found["own"].model.activation_std) == pytest.approx(held_out.std)
    assert found["own"].config["data"]["statistics"] == "photographs/val"
    assert found["same"].config["data"]["statistics"] == "photographs/train"
    thresholds = {name: float(saved.model.threshold) for name, saved in found.items()}
    assert thresholds["own"] == pytest.approx(thresholds["same"], rel=0.02)
    assert abs(thresholds["training"] / thresholds["same"] - 1) > 0.5
    # It is trained all the same.
    for name in ("own", "training"):
        assert torch.equal(found[name].model.encoder_weight, found["same"].model.encoder_weight)


def test_the_log_counts_every_token_once(reference):
    lines = [
        json.loads(line)
        for line in (reference / "batchtopk_4x_k3" / "training.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in lines] == [4, 8, 12, 16, 20]
    assert [line["tokens"] for line in lines] == [200, 400, 580, 780, 960]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert all(abs(line["l0"] - 3) < 1e-9 for line in lines)
    assert all(0 <= line["dead_fraction"] < 1 for line in lines)


def test_the_seed_decides_the_first_weights_and_the_order_of_tokens(caches, monkeypatch):
    train_cache, _ = caches
    weights, batches = [], []

    def noted(self, batch, original=Trainer.step):
        if not batches:
            weights.extend(weight.detach().clone() for weight in self.weights.values())
        batches.append(batch)
        return original(self, batch)

    monkeypatch.setattr(Trainer, "step", noted)
    train(SPECS[:1], train_cache, replace(SETTINGS, seed=7, epochs=1), "cpu")
    expected = initial_weights(4 * 8, 8, 7)
    assert all(map(torch.equal, weights, expected.values()))
    stream = TokenStream(train_cache, SETTINGS.batch_size, 7, SETTINGS.window_images)
    mean = torch.from_numpy(train_cache.mean).float()
    for found, tokens in zip(batches, stream.batches(), strict=True):
        assert torch.equal(found, normalise(tokens, mean, torch.tensor(train_cache.std).float()))


def test_a_runs_fingerprint_tells_data_device_and_torch_apart(caches, monkeypatch):
    train_cache, val_cache = caches
    found = {
        training.run_fingerprint(SPECS, cache, settings, device)
        for cache in (train_cache, val_cache)
        for settings in (SETTINGS, replace(SETTINGS, seed=7))
        for device in ("cpu", "cuda")
    }
    assert len(found) == 8
    same = training.run_fingerprint(SPECS, train_cache, SETTINGS, torch.device("cuda:1"))
    assert same in found
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert training.run_fingerprint(SPECS, train_cache, SETTINGS, "cpu") not in found


def test_a_cache_without_statistics_is_refused(tmp_path):
    path = write_cache(tmp_path, mixture_activations(20, 12), statistics=False)
    with ActivationCache(path) as cache, pytest.raises(UserError, match="statistics"):
        train(SPECS, cache, SETTINGS, "cpu")


def at_step(monkeypatch, step, action):
    """Call `action(trainer)` before the given step of the first SAE."""
    original, calls = Trainer.step, []

    def counted(self, batch):
        if self.spec == SPECS[0]:
            calls.append(1)
            if len(calls) == step:
                action(self)
        return original(self, batch)

    monkeypatch.setattr(Trainer, "step", counted)


def test_a_loss_that_is_not_finite_names_sae_and_step(caches, monkeypatch):
    def overflow(trainer):
        trainer.weights["encoder_weight"].data[0] = torch.inf

    at_step(monkeypatch, 6, overflow)
    with pytest.raises(UserError, match=r"batchtopk_4x_k3 is not finite at step 6:"):
        train(SPECS, caches[0], SETTINGS, "cpu")


def test_sigterm_writes_a_checkpoint_and_the_rerun_ends_at_the_same_bytes(
    caches, reference, tmp_path, monkeypatch
):
    checkpoint = tmp_path / "resume.pt"
    with monkeypatch.context() as patch:
        at_step(patch, 7, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit) as stopped:
            train_and_save(SPECS, *caches, tmp_path, SETTINGS, "cpu", checkpoint)
    assert stopped.value.code == 143
    assert stopped.value.__notes__ == ["a checkpoint of step 7 of 20 was written"]
    assert not (tmp_path / SPECS[0].name).exists()
    reports = []
    train_and_save(SPECS, *caches, tmp_path, SETTINGS, "cpu", checkpoint, reports.append)
    assert reports[0] == "resuming at step 7 of 20"
    assert read(tmp_path) == read(reference)
    assert not checkpoint.exists()


KILLED = """
import os, signal, sys
import torch
sys.path[:0] = {path!r}
torch.set_num_threads({threads})
from visae.activations.cache import ActivationCache
from visae.sae.trainer import Trainer
from visae.sae.training import train_and_save
import sae.test_training as test
original, calls = Trainer.step, []
def step(self, batch):
    calls.append(1)
    if len(calls) == 2 * 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, batch)
Trainer.step = step
with ActivationCache({train!r}) as train, ActivationCache({val!r}) as val:
    train_and_save(test.SPECS, train, val, {folder!r}, test.SETTINGS, "cpu", {checkpoint!r})
"""


def test_kill_9_and_rerun_end_at_the_same_bytes(caches, reference, tmp_path):
    checkpoint = tmp_path / "resume.pt"
    program = KILLED.format(
        path=sys.path,
        threads=torch.get_num_threads(),
        train=str(caches[0].path),
        val=str(caches[1].path),
        folder=str(tmp_path),
        checkpoint=str(checkpoint),
    )
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    reports = []
    train_and_save(SPECS, *caches, tmp_path, SETTINGS, "cpu", checkpoint, reports.append)
    assert reports[0] == "resuming at step 12 of 20"
    assert read(tmp_path) == read(reference)


@pytest.mark.parametrize("minutes, steps", [(7, [7, 14, 20]), (10, [10, 20]), (20, [20]), (21, [])])
def test_checkpoints_are_minutes_apart_and_one_is_of_the_last_step(
    minutes, steps, caches, tmp_path, monkeypatch
):
    clock, saved = [0], []

    def step_of_a_minute(self, batch, original=Trainer.step):
        clock[0] += 60
        return original(self, batch)

    monkeypatch.setattr(Trainer, "step", step_of_a_minute)
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(resume, "save", lambda path, _, state: saved.append(state["step"]))
    settings = replace(SETTINGS, checkpoint_minutes=minutes)
    train(SPECS[:1], caches[0], settings, "cpu", tmp_path / "resume.pt")
    assert saved == steps


def test_what_goes_wrong_after_the_last_step_costs_no_step(
    caches, reference, tmp_path, monkeypatch
):
    checkpoint = tmp_path / "resume.pt"
    with monkeypatch.context() as patch:
        patch.setattr(training, "measure_thresholds", None)
        with pytest.raises(TypeError):
            train_and_save(SPECS, *caches, tmp_path, SETTINGS, "cpu", checkpoint)
    at_step(monkeypatch, 1, lambda _: pytest.fail("a step was taken again"))
    reports = []
    train_and_save(SPECS, *caches, tmp_path, SETTINGS, "cpu", checkpoint, reports.append)
    assert reports[0] == "resuming at step 20 of 20"
    assert read(tmp_path) == read(reference)


def test_a_run_too_short_for_a_checkpoint_ends_well(caches, tmp_path):
    settings = replace(SETTINGS, checkpoint_minutes=1e6, epochs=1)
    train_and_save(SPECS[:1], *caches, tmp_path, settings, "cpu", tmp_path / "resume.pt")
    assert [path.name for path in tmp_path.iterdir()] == [SPECS[0].name]


def test_stale_and_damaged_checkpoints_are_ignored(caches, tmp_path, monkeypatch):
    checkpoint = tmp_path / "resume.pt"
    with monkeypatch.context() as patch:
        at_step(patch, 7, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit):
            train(SPECS, caches[0], SETTINGS, "cpu", checkpoint)
    reports = []
    settings = replace(SETTINGS, learning_rate=0.03, epochs=1)
    train(SPECS, caches[0], settings, "cpu", checkpoint, reports.append)
    assert "other settings" in reports[0]
    for content in (b"", b"garbage", checkpoint.read_bytes()[:1000]):
        checkpoint.write_bytes(content)
        assert resume.load(checkpoint, "", reports.append) is None
        assert "cannot be read" in reports[-1]


def autograd(sae, x_bd, reduce):
    """Gradients by autograd of `reduce` of the squared errors [B, D]."""
    encoder, bias, decoder = (w.detach().clone().requires_grad_() for w in sae.weights.values())
    pre_bf = x_bd @ encoder.T + bias
    codes_bf = pre_bf * sae.keep(pre_bf.detach())
    reduce((codes_bf @ decoder - x_bd) ** 2).backward()
    return [weight.grad for weight in (encoder, bias, decoder)]


@pytest.mark.parametrize("step", ["set_dense_gradients", "set_sparse_gradients"])
@pytest.mark.parametrize(
    ("loss", "reduce"), [("mean", torch.mean), ("sum", lambda squares: squares.sum(1).mean())]
)
def test_the_loss_is_a_mean_or_a_sum_over_dimensions(step, loss, reduce):
    sae = BatchTopK(SPECS[0], 8, replace(SETTINGS, loss=loss), "cpu")
    x_bd = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    reference = BatchTopK(SPECS[0], 8, replace(SETTINGS, loss=loss), "cpu")
    expected = autograd(reference, x_bd, reduce)
    getattr(sae, step)(x_bd)
    for weight, gradient in zip(sae.weights.values(), expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("clip", "share"), [(None, 0.0), (1e-6, 1.0), (1e6, 0.0)])
def test_the_log_tells_how_many_steps_were_clipped(caches, clip, share):
    [(_, log)] = train(SPECS[:1], caches[0], replace(SETTINGS, gradient_clip=clip), "cpu")
    assert {line["clipped_fraction"] for line in log} == {share}


@pytest.mark.parametrize("clip", [None, 1.0])
def test_all_that_a_step_saw_is_on_its_device(clip, monkeypatch):
    """A resumed window has its tensors there, and stacks new ones upon them."""
    settings = replace(SETTINGS, gradient_clip=clip, precision="float32")
    sae = ReLU(SaeSpec("relu", 4, 0.1), 8, settings, "meta")
    monkeypatch.setattr(sae.optimizer, "step", lambda: None)
    result = sae.step(torch.empty(30, 8, device="meta"))
    assert [tensor.device.type for tensor in result] == ["meta"] * 5


def test_no_clipping_is_a_clip_that_never_acts(caches):
    weights = []
    for clip in (None, 1e6):
        settings = replace(SETTINGS, gradient_clip=clip)
        [(trainer, _)] = train(SPECS[:1], caches[0], settings, "cpu")
        weights.append(trainer.finish())
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))


@pytest.mark.parametrize(("ragged", "budget"), [(None, 30 * 3), (8, 50 * 3)])
def test_a_ragged_batch_keeps_a_whole_batchs_codes(caches, ragged, budget):
    settings = replace(SETTINGS, ragged_images=ragged)
    x_bd = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    for step in ("set_dense_gradients", "set_sparse_gradients"):
        sae = BatchTopK(SPECS[0], 8, settings, "cpu")
        assert int(getattr(sae, step)(x_bd).active) == budget
    [(_, log)] = train(SPECS[:1], caches[0], settings, "cpu")
    assert log[-1]["tokens"] == 2 * caches[0].tokens


def test_no_flipped_bit_of_a_checkpoint_is_resumed(tmp_path):
    """The state that comes back is the one that was written, or none with a reason."""
    path, randoms = tmp_path / "resume", np.random.default_rng(0)
    weights = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    state = {
        "step": 3,
        "logs": [{"loss": 0.1, "l0": None}],
        "trainers": [{"weights": weights, "same": weights[:2], "count": torch.tensor(5)}],
        "windows": [[[], torch.tensor([True, False])]],
    }
    resume.save(path, "run", state)
    reports = []
    found = resume.load(path, "run", reports.append)
    assert not reports
    assert found["logs"] == state["logs"]
    assert torch.equal(found["trainers"][0]["weights"], weights)
    assert torch.equal(found["windows"][0][1], torch.tensor([True, False]))
    whole = path.read_bytes()
    for bit in randoms.choice(8 * len(whole), 400, replace=False):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        reports.clear()
        assert resume.load(path, "run", reports.append) is None, bit
        assert "ignoring the training checkpoint" in reports[0]
