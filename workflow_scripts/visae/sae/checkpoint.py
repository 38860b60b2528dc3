"""SAE folders: `model.safetensors`, `config.yaml`, `training.jsonl` (see `docs/formats.md`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from visae.activations.format import ACTIVATIONS, CacheInfo
from visae.base import fingerprints
from visae.base.errors import UserError
from visae.base.seals import made_of, read_tensors, write_tensors
from visae.sae.folder import CONFIG, CURE, FORMAT, LOG, WEIGHTS, read_config, spec_of
from visae.sae.model import ACTIVATION_RULES, INPUT_NORMALISATIONS, SparseAutoencoder
from visae.sae.specs import SaeSpec

SCALAR_THRESHOLD, FEATURE_THRESHOLDS = "_running_threshold", "jump_thresholds"


class SavedSae(NamedTuple):
    """An SAE as read from its folder."""

    model: SparseAutoencoder
    """The weights, on the CPU."""
    config: dict[str, Any]
    """The content of `config.yaml`."""
    fingerprint: str
    """Hash of the weights."""

    @property
    def warnings(self) -> list[str]:
        """What speaks against it, by those who trained or imported it (`visae.sae.concerns`)."""
        return list(self.config.get("warnings", []))

    @property
    def spec(self) -> SaeSpec:
        """The SaeSpec."""
        return spec_of(self.config)


def save_sae(
    folder: str | Path,
    model: SparseAutoencoder,
    config: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    inputs: Iterable[str | Path] = (),
) -> None:
    """Write a trained SAE; the weights come last, so that a folder which has them is whole.

    config: mapping of plain values, see `training.describe`. log: dicts, one per window. inputs:
    the caches that it was made of.
    """
    folder = Path(folder)
    threshold_name = FEATURE_THRESHOLDS if model.threshold.ndim else SCALAR_THRESHOLD
    tensors = {
        "encoder.weight": model.encoder_weight,
        "encoder.bias": model.encoder_bias,
        "decoder.weight": model.decoder_weight,
        "activation_mean": model.activation_mean,
        "activation_std": model.activation_std,
        threshold_name: model.threshold,
    }
    tensors = {name: tensor.float().cpu().contiguous() for name, tensor in tensors.items()}
    described = {"format": FORMAT, **config}
    if model.inference:
        described["inference"] = model.inference
    texts = {
        LOG: "".join(json.dumps(line, allow_nan=False) + "\n" for line in log),
        CONFIG: yaml.safe_dump(described, sort_keys=False, allow_unicode=True),
    }
    origin = made_of(folder / WEIGHTS, inputs)
    write_tensors(folder / WEIGHTS, FORMAT, tensors, origin, texts)


def load_sae(folder: str | Path) -> SavedSae:
    """Read an SAE folder: a SavedSae.

    Raises UserError when a file is missing or damaged, when weights or `config.yaml` are no longer
    what was written together, when they belong to another place of the results, when shapes do not
    fit each other or `config.yaml`, or when a weight is not finite. Only safetensors are read,
    never pickles.
    """
    folder = Path(folder)
    # Whoever takes an SAE out of a study may put it anywhere.
    tensors = read_tensors(folder / WEIGHTS, FORMAT, anywhere=True, cure=CURE)
    config = read_config(folder / CONFIG)
    model = _model(tensors, folder / WEIGHTS)
    _set_inference(model, config.get("inference", {}), folder / CONFIG)
    stated = config.get("hidden_dim"), config.get("input_dim")
    if stated != (model.features, model.width):
        raise UserError(
            f"{folder / WEIGHTS} holds {model.features} features of width {model.width}, but "
            f"{CONFIG} beside it says {stated[0]} of width {stated[1]}: the two files are of "
            "different SAEs; train this SAE again"
        )
    return SavedSae(model, config, _fingerprint(tensors, model))


def check_fits(saved: SavedSae, info: CacheInfo, folder: str | Path) -> None:
    """UserError unless the SAE in `folder` was trained on activations like those of a cache.

    info: the cache's CacheInfo, which has to agree in all of `activations.format.ACTIVATIONS`.
    """
    data = saved.config["data"] | {"width": saved.model.width}
    data["grid"] = tuple(data.get("grid", ()))
    for name in ACTIVATIONS:
        trained, found = data.get(name), getattr(info, name)
        if trained != found:
            raise UserError(
                f"the SAE in {folder} was trained on activations with {name} {trained!r}, but the "
                f"cache of {info.dataset}/{info.split} has {name} {found!r}: train the SAE on this "
                "backbone's activations, or extract the cache again"
            )


def _fingerprint(tensors, model):
    """Hash of the weights, and of the rule where it is not that of SAEs trained here."""
    weights = fingerprints.of_tensors(tensors.items())
    if not model.inference:
        return weights
    rule = json.dumps(model.inference, sort_keys=True)
    return fingerprints.of_bytes(f"{weights} {rule}".encode())


def _set_inference(model, stated, path):
    """Give `model` the rule that `config.yaml` states; UserError if it is none."""
    model.activation = stated.get("activation", "threshold")
    model.k = stated.get("k")
    model.input_normalisation = stated.get("input_normalisation", "none")
    selects = model.activation != "threshold"
    if (
        model.activation not in ACTIVATION_RULES
        or model.input_normalisation not in INPUT_NORMALISATIONS
        or (selects and not (isinstance(model.k, int) and 0 < model.k <= model.features))
        or (model.activation == "group_max" and model.features % model.k)
    ):
        raise UserError(
            f"{path} states the inference {stated}, which no SAE of {model.features} features has: "
            "remove its folder and import this SAE again"
        )


def _model(tensors, path):
    """The model in a safetensors mapping; UserError unless all is there, fits and is finite."""
    thresholds = {SCALAR_THRESHOLD, FEATURE_THRESHOLDS} & tensors.keys()
    names = ["encoder.weight", "encoder.bias", "decoder.weight", *sorted(thresholds)]
    names += ["activation_mean", "activation_std"]
    missing = [name for name in names if name not in tensors]
    if missing or len(thresholds) != 1:
        missing = missing or [f"either {SCALAR_THRESHOLD} or {FEATURE_THRESHOLDS}"]
        raise UserError(f"{path} lacks {missing[0]}: remove its folder and train this SAE again")
    weight = tensors["encoder.weight"]
    if weight.ndim != 2:
        raise UserError(
            f"encoder.weight in {path} has shape {list(weight.shape)}, not "
            "[features, width]: remove its folder and train this SAE again"
        )
    features, width = weight.shape
    shapes = [(features, width), (features,), (features, width)]
    shapes += [() if SCALAR_THRESHOLD in thresholds else (features,), (width,), ()]
    for name, shape in zip(names, shapes, strict=True):
        if tensors[name].shape != torch.Size(shape):
            raise UserError(
                f"{name} in {path} has shape {list(tensors[name].shape)}, which does not fit "
                f"encoder.weight [{features}, {width}]: remove its folder and train this SAE again"
            )
        if not tensors[name].isfinite().all():
            raise UserError(
                f"{name} in {path} holds NaN or infinity: remove its folder and train this SAE "
                "again with a lower learning rate"
            )
    return SparseAutoencoder(*(tensors[name].float() for name in names))
