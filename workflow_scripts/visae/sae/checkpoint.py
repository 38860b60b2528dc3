"""SAE folders: `model.safetensors`, `config.yaml`, `training.jsonl` (see `docs/formats.md`)."""

import json
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
import yaml

from visae.activations.format import ACTIVATIONS
from visae.base import fingerprints
from visae.base.errors import UserError
from visae.base.files import atomic_path, write_text
from visae.sae.model import SparseAutoencoder
from visae.sae.specs import SaeSpec

FORMAT = "visae-sae-1"
WEIGHTS, CONFIG, LOG = "model.safetensors", "config.yaml", "training.jsonl"
SCALAR_THRESHOLD, FEATURE_THRESHOLDS = "_running_threshold", "jump_thresholds"


class SavedSae(NamedTuple):
    """An SAE as read from its folder."""

    model: SparseAutoencoder
    """The weights, on the CPU."""
    config: dict
    """The content of `config.yaml`."""
    fingerprint: str
    """Hash of the weights."""

    @property
    def spec(self):
        """The SaeSpec."""
        return SaeSpec.from_name(self.config["name"])


def save_sae(folder, model, config, log):
    """Write a trained SAE; the weights come last, so that a folder which has them is whole.

    config: mapping of plain values, see `training.describe`. log: dicts, one per window.
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
    write_text(folder / LOG, "".join(json.dumps(line, allow_nan=False) + "\n" for line in log))
    described = {"format": FORMAT, **config}
    write_text(folder / CONFIG, yaml.safe_dump(described, sort_keys=False, allow_unicode=True))
    with atomic_path(folder / WEIGHTS) as temporary:
        safetensors.torch.save_file(tensors, temporary)


def load_sae(folder):
    """Read an SAE folder: a SavedSae.

    Raises UserError when a file is missing or damaged, when shapes do not fit each other or
    `config.yaml`, or when a weight is not finite. Only safetensors are read, never pickles.
    """
    folder = Path(folder)
    tensors, config = _read_tensors(folder / WEIGHTS), _read_config(folder / CONFIG)
    model = _model(tensors, folder / WEIGHTS)
    stated = config.get("hidden_dim"), config.get("input_dim")
    if stated != (model.features, model.width):
        raise UserError(
            f"{folder / WEIGHTS} holds {model.features} features of width {model.width}, but "
            f"{CONFIG} beside it says {stated[0]} of width {stated[1]}: the two files are of "
            "different SAEs; train this SAE again"
        )
    return SavedSae(model, config, fingerprints.of_tensors(tensors.items()))


def check_fits(saved, info, folder):
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


def _read_tensors(path):
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{path} is missing, truncated or not a safetensors file ({error}): remove its folder "
            "and train this SAE again"
        ) from error


def _read_config(path):
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f"{path} is missing or not YAML ({error}): remove its folder and train this SAE again"
        ) from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise UserError(
            f"{path} is not of format {FORMAT}: remove its folder and train this SAE again"
        )
    return config


def _model(tensors, path):
    """The model in a safetensors mapping; UserError unless all is there, fits and is finite."""
    thresholds = {SCALAR_THRESHOLD, FEATURE_THRESHOLDS} & tensors.keys()
    names = ["encoder.weight", "encoder.bias", "decoder.weight", *sorted(thresholds)]
    names += ["activation_mean", "activation_std"]
    missing = [name for name in names if name not in tensors]
    if missing or len(thresholds) != 1:
        missing = missing or [f"either {SCALAR_THRESHOLD} or {FEATURE_THRESHOLDS}"]
        raise UserError(f"{path} lacks {missing[0]}: remove its folder and train this SAE again")
    model = SparseAutoencoder(*(tensors[name].float() for name in names))
    if model.encoder_weight.ndim != 2:
        raise UserError(
            f"encoder.weight in {path} has shape {list(model.encoder_weight.shape)}, not "
            "[features, width]: remove its folder and train this SAE again"
        )
    features, width = model.encoder_weight.shape
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
    return model
