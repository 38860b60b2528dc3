"""Training all SAEs of a sweep from one pass over the activation cache (paper §3, Appendix A).

The SAEs share the batches and nothing else: each has its own weights, from the same seed unless
its sweep has another, so that it comes out the same, to the bit, whether it is trained alone or
with others.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import torch

from visae.activations.format import check_same_activations
from visae.activations.normalisation import normalise, statistics_of
from visae.activations.source import Cache
from visae.activations.tokens import TokenStream
from visae.base import fingerprints
from visae.base.errors import UserError
from visae.base.progress import counted
from visae.sae import resume
from visae.sae.checkpoint import save_sae
from visae.sae.concerns import concerns
from visae.sae.describe import describe_data, describe_held_out, describe_sae
from visae.sae.families import FAMILIES
from visae.sae.model import SparseAutoencoder
from visae.sae.specs import (
    SaeSpec,
    TrainingSettings,
    check_own,
    check_own_size,
    check_size,
)
from visae.sae.threshold import measure_thresholds
from visae.sae.trainer import StepResult, Trainer

logger = logging.getLogger(__name__)


class Window:
    """The steps since the last line of `training.jsonl`, of one SAE."""

    def __init__(self, name: str):
        self.name = name
        self._clear()

    def _clear(self):
        self._losses, self._active, self._clipped, self._tokens = [], [], [], 0
        self._fired = torch.tensor(False)

    def state(self) -> list[Any]:
        """The steps so far, for a resumable checkpoint."""
        return [self._losses, self._active, self._clipped, self._fired, self._tokens]

    def load_state(self, state: Iterable[Any], device: torch.device) -> None:
        """Take over what `state` gave."""
        losses, active, clipped, fired, self._tokens = state
        self._losses = [loss.to(device) for loss in losses]
        self._active = [count.to(device) for count in active]
        self._clipped = [each.to(device) for each in clipped]
        self._fired = fired.to(device)

    def add(self, result: StepResult, tokens: int) -> None:
        """Take in a StepResult of a batch of `tokens` tokens; nothing is read from the device."""
        self._losses.append(result.loss)
        self._active.append(result.active)
        self._clipped.append(result.clipped)
        self._fired = self._fired | result.fired
        self._tokens += tokens

    def line(self, step: int, tokens: int) -> dict[str, Any]:
        """The log line for the steps up to `step`, `tokens` in all; the window starts anew.

        Raises UserError when a loss was not finite.
        """
        losses = torch.stack(self._losses).double()
        finite = losses.isfinite().tolist()
        if not all(finite):
            first = step - len(finite) + finite.index(False) + 1
            raise UserError(
                f"the loss of {self.name} is not finite at step {first}: lower `learning_rate` in "
                "the config's training settings, or set `precision: float32`"
            )
        line = {
            "step": step,
            "tokens": tokens,
            "loss": float(losses.mean()),
            "l0": float(torch.stack(self._active).sum()) / self._tokens,
            "dead_fraction": float((~self._fired).double().mean()),
            "clipped_fraction": float(torch.stack(self._clipped).double().mean()),
        }
        self._clear()
        return line


def train(
    specs: Collection[SaeSpec],
    cache: Cache,
    settings: TrainingSettings,
    device: str | torch.device,
    resume_path: str | Path | None = None,
    report: Callable[[str], Any] = logger.info,
) -> list[tuple[Trainer, list[dict[str, Any]]]]:
    """Train SAEs on an open `Cache` that has statistics.

    specs: list of SaeSpec. settings: TrainingSettings. resume_path: where the resumable
    checkpoint is kept, if at all. report: called with one line of text now and then.

    Returns a list of (trainer, log), where log is a list of dicts, the lines of `training.jsonl`.
    Raises UserError when a loss is not finite, and SystemExit after SIGTERM, when the checkpoint
    has been written.
    """
    device = torch.device(device)
    width = cache.info.width
    for spec in specs:
        check_size(spec, width)
        own = settings.own.get(spec.name, {})
        check_own(spec, own)
        check_own_size(spec, own, width)
    mean, std = _statistics(cache, device)
    trainers = [
        FAMILIES.module(spec.family, "trainer").TRAINER(spec, width, settings.of(spec), device)
        for spec in specs
    ]
    logs = [[] for _ in trainers]
    stream = TokenStream(
        cache, settings.batch_size, settings.seed, settings.window_images, settings.ragged_images
    )
    steps = len(stream) * settings.epochs
    resume_path = Path(resume_path) if resume_path else None
    fingerprint = run_fingerprint(specs, cache, settings, device)
    windows = [Window(spec.name) for spec in specs]
    step = 0
    if resume_path and (state := resume.load(resume_path, fingerprint, report)):
        step, logs = state["step"], state["logs"]
        for trainer, trainer_state in zip(trainers, state["trainers"], strict=True):
            trainer.load_state(trainer_state)
        for window, window_state in zip(windows, state["windows"], strict=True):
            window.load_state(window_state, device)
        report(f"resuming at step {step} of {steps}")
    started = saved = time.monotonic()
    first = step
    with resume.sigterm_flag() as stop:
        batches = _batches(stream, step, settings.epochs, device)
        for batch in counted(batches, "training steps", steps, done=step):
            normalised = normalise(batch, mean, std)
            for trainer, window in zip(trainers, windows, strict=True):
                trainer.begin_step(step, steps)
                window.add(trainer.step(normalised), len(batch))
            step += 1
            if step % settings.log_interval == 0 or step == steps:
                tokens = stream.tokens_after(step)
                for log, window in zip(logs, windows, strict=True):
                    log.append(window.line(step, tokens))
                rate = (step - first) / (time.monotonic() - started)
                report(f"step {step} of {steps}, {rate:.2f} per second, {len(specs)} SAEs")
            # The last step of a run that has lasted so long, too: measuring thresholds follows.
            since = started if step == steps else saved
            due = time.monotonic() - since >= 60 * settings.checkpoint_minutes
            if resume_path and (stop.is_set() or due):
                state = {
                    "step": step,
                    "logs": logs,
                    "trainers": [trainer.state() for trainer in trainers],
                    "windows": [window.state() for window in windows],
                }
                resume.save(resume_path, fingerprint, state)
                saved = time.monotonic()
            if stop.is_set():
                report(f"stopped by SIGTERM at step {step} of {steps}")
                stopped = SystemExit(resume.STOPPED_BY_SIGTERM)
                if resume_path:
                    stopped.add_note(f"a checkpoint of step {step} of {steps} was written")
                raise stopped
    return list(zip(trainers, logs, strict=True))


def train_and_save(
    specs: Collection[SaeSpec],
    cache: Cache,
    held_out: Cache,
    folder: str | Path,
    settings: TrainingSettings,
    device: str | torch.device,
    resume_path: str | Path | None = None,
    report: Callable[[str], Any] = logger.info,
    normalising: Cache | None = None,
) -> dict[str, list[str]]:
    """Train SAEs, measure their inference thresholds and write them to `folder/{name}/`.

    Returns what speaks against each, by name (`visae.sae.concerns`), which its files say as well.

    cache: open training `Cache`. held_out: open `Cache` of the same backbone,
    on which thresholds and L0 are measured. normalising: open `Cache` whose statistics the
    SAEs are saved with, which normalise all that they encode once trained; by default `cache`. The
    rest as for `train`. The resumable checkpoint is removed when all is written.
    """
    normalising = normalising or cache
    for other in (held_out, normalising):
        check_same_activations(cache.info, other.info)
    trained = train(specs, cache, settings, device, resume_path, report)
    models = [_model(trainer, *_statistics(normalising, trainer.device)) for trainer, _ in trained]
    budgets = [spec.k if FAMILIES[spec.family].threshold.measured else None for spec in specs]
    measured = measure_thresholds(
        models, budgets, held_out, settings.threshold_images, settings.threshold_batch
    )
    found = {}
    for spec, model, (trainer, log), threshold in zip(
        specs, models, trained, measured, strict=True
    ):
        if threshold.value is not None:
            model.threshold = torch.tensor(threshold.value)
        found[spec.name] = warnings = concerns(
            log[-1]["step"],
            settings.epochs,
            # Normalised activations have a variance of 1 per dimension, so that the mean squared
            # error is the FVU.
            log[-1]["loss"],
            # The last window may be one step long, too short for rare features.
            min(line["dead_fraction"] for line in log[-2:]),
            threshold.l0,
            spec.k,
        )
        config = {
            **describe_sae(spec, model, threshold),
            "training": {
                **settings.described(spec),
                "precision": "float16" if trainer.half else "float32",
                "device": trainer.device.type,
            },
            "last_window": log[-1],
            "warnings": warnings,
            "data": describe_data(cache, normalising),
            "held_out": describe_held_out(held_out, settings, threshold),
        }
        inputs = cache.files + held_out.files + normalising.files
        save_sae(Path(folder) / spec.name, model, config, log, inputs)
        report(f"{spec.name}: L0 {threshold.l0:.2f} on held-out images")
        for warning in warnings:
            logger.warning("%s: %s", spec.name, warning)
    if resume_path:
        Path(resume_path).unlink(missing_ok=True)
    return found


def run_fingerprint(
    specs: Collection[SaeSpec],
    cache: Cache,
    settings: TrainingSettings,
    device: str | torch.device,
) -> str:
    """Hash of all that decides a run's result: SAEs, settings, data, device type and code."""
    families = {spec.family for spec in specs}
    run = {
        "specs": {spec.name: settings.described(spec) for spec in specs},
        "cache": cache.fingerprint,
        "device": torch.device(device).type,
        "torch": torch.__version__,
        "code": [
            fingerprints.of_modules(__file__),
            *(fingerprints.of_entry(FAMILIES, family) for family in sorted(families)),
        ],
    }
    return fingerprints.of_bytes(json.dumps(run, sort_keys=True).encode())


def _statistics(cache, device):
    """Mean [D] and std [] of a training cache, float32; UserError when it has none."""
    mean, std = statistics_of(cache)
    mean = torch.from_numpy(mean).float().to(device)
    return mean, torch.tensor(std, dtype=torch.float32, device=device)


def _batches(stream, start, epochs, device):
    """The batches from step `start` on, over all epochs, on `device`."""
    for epoch in range(start // len(stream), epochs):
        skipped = start - epoch * len(stream) if epoch == start // len(stream) else 0
        for batch in stream.batches(epoch, skipped, pinned=device.type == "cuda"):
            yield batch.to(device, non_blocking=True)


def _model(trainer: Trainer, mean: torch.Tensor, std: torch.Tensor) -> SparseAutoencoder:
    """The SAE at inference; what a decoder bias moves is the mean that normalises."""
    threshold = trainer.threshold()
    if threshold is None:
        threshold = torch.zeros((), device=trainer.device)
    if trainer.decoder_bias is not None:
        mean = mean + std * trainer.decoder_bias.detach()
    return SparseAutoencoder(*trainer.finish(), threshold, mean, std)
