"""SAEs that were trained elsewhere, read from the layout of the published checkpoints.

A folder holds one file of weights (`sae.pt`, `model.safetensors` or `model.pt`) and one config
(`config.json`, `config.yaml` or `config.yml`). The weights have one of two styles of names:

- plain, which the `visaebench` package documents: `encoder.weight` [F, D], `encoder.bias` [F],
  `decoder.weight` [F, D], and `_running_threshold` [] or `jump_thresholds` [F];
- that of `overcomplete` 0.3.0, with which the paper trained: `encoder.final_block.0.weight`,
  `encoder.final_block.0.bias`, `dictionary._weights` and `dictionary.multiplier`, and for its
  JumpSAE `thresholds` [F], which are logarithms. Its running threshold is no part of a state
  dict; whoever saved one added it.

Pickles are only ever read as tensors (`weights_only`). What is not understood is refused rather
than ignored, because a tensor that is left out makes another SAE.
"""

import json
import math
import pickle
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
import yaml

from visae.base import fingerprints
from visae.base.errors import UserError
from visae.sae.checkpoint import FEATURE_THRESHOLDS, FORMAT, SCALAR_THRESHOLD
from visae.sae.families import FAMILIES
from visae.sae.model import SparseAutoencoder

WEIGHT_FILES = ("sae.pt", "model.safetensors", "model.pt")
CONFIG_FILES = ("config.json", "config.yaml", "config.yml")

PLAIN = ("encoder.weight", "encoder.bias", "decoder.weight")
OVERCOMPLETE = (
    "encoder.final_block.0.weight",
    "encoder.final_block.0.bias",
    "dictionary._weights",
)
MULTIPLIER, DECODER_BIAS = "dictionary.multiplier", "decoder.bias"
OVERCOMPLETE_THRESHOLDS = "thresholds"
STATISTICS = ("activation_mean", "activation_std")

# What the configs of the published code call the same thing. `FAMILY` is this workflow's own: an
# export says `batchtopk` of every SAE with one threshold, for the package's sake.
FAMILY = "family"
FAMILY_KEYS = ("activation", "sae_type", "architecture")
INPUT_KEYS, HIDDEN_KEYS = ("input_dim", "d_model"), ("hidden_dim", "dict_size")

THRESHOLD_SCALES = ("linear", "log")

# overcomplete renormalises the rows before every step, so that a saved dictionary is one step of
# Adam from unit norm: about 0.001·√D, which is 0.03 for a ViT-B, and at most three times that.
NORM_TOLERANCE = 0.1


class ForeignSae(NamedTuple):
    """An SAE as read from a folder of someone else's."""

    model: SparseAutoencoder
    """On the CPU; its threshold is 0 where the folder states none."""
    has_threshold: bool
    """The folder states the threshold; otherwise it has to be measured."""
    source: dict
    """Where it came from, for `config.yaml`."""


def read_foreign(folder, spec, statistics=None, threshold_scale=None):
    """Read the SAE in `folder`: a ForeignSae.

    spec: the SaeSpec that it is to be. statistics: (mean [D], std []) of the activations that it
    was trained on, used where the folder holds no `activation_mean` and `activation_std`, be it
    among the weights or in the config. threshold_scale: `linear` or `log`, to say what JumpReLU
    thresholds are where their name and values do not tell.

    Codes and reconstructions are those of the code that the folder was written for: the plain
    style is taken as it stands (so rows of the decoder may be off unit norm), and the dictionary
    of the overcomplete style is normalised and multiplied as `overcomplete` does on `eval()`.

    Raises UserError when a file is missing, damaged or unsafe, when a tensor is missing, unknown,
    ambiguous, not finite or of a wrong shape, and when the folder states another SAE than `spec`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        held = sorted(path.name for path in folder.parent.glob("*/"))
        raise UserError(
            f"{folder} is missing ({folder.parent} holds {', '.join(held[:8]) or 'no folders'}): "
            f"put the files of {spec.name} there, or take it out of the sweep's grid"
        )
    weights_path = _only_file(folder, WEIGHT_FILES, "weights")
    config_path = _only_file(folder, CONFIG_FILES, "config")
    if threshold_scale not in (None, *THRESHOLD_SCALES):
        raise UserError(
            f"threshold_scale is {threshold_scale!r}: write {' or '.join(THRESHOLD_SCALES)}"
        )
    tensors, config = _read_tensors(weights_path), _read_config(config_path)
    _check_config(config, spec, config_path)
    overcomplete = OVERCOMPLETE[0] in tensors
    names = OVERCOMPLETE if overcomplete else PLAIN
    missing = [name for name in names if name not in tensors]
    if missing:
        raise UserError(
            f"{weights_path} lacks {missing[0]} (it holds {', '.join(sorted(tensors)[:8])}): save "
            "the SAE with the names of visaebench or of overcomplete's linear encoder"
        )
    encoder, bias, decoder = (tensors.pop(name) for name in names)
    features, width = _dimensions(encoder, bias, config, spec, folder)
    if overcomplete:
        decoder = _overcomplete_dictionary(decoder, tensors.pop(MULTIPLIER, None), weights_path)
    else:
        decoder = _plain_decoder(decoder, features, width, weights_path)
        _drop_zero_bias(tensors, weights_path)
    threshold = _threshold(tensors, config, spec, threshold_scale, overcomplete, weights_path)
    mean, std, own_statistics = _statistics(tensors, config, statistics, folder)
    if tensors:
        raise UserError(
            f"{weights_path} holds {', '.join(sorted(tensors)[:8])}, which no SAE of this workflow "
            "has: its encoder has to be linear, with nothing before it, and its decoder without "
            "bias"
        )
    has_threshold = threshold is not None
    if not has_threshold:
        threshold = torch.zeros(())
    model = SparseAutoencoder(encoder, bias, decoder, threshold, mean, std)
    _check_tensors(model, features, width, folder)
    described = {
        "folder": str(folder),
        "weights": weights_path.name,
        "fingerprint": fingerprints.of_file(weights_path),
        "names": "overcomplete" if overcomplete else "plain",
        "statistics": "folder" if own_statistics else "training cache",
        "threshold": "folder" if has_threshold else "measured",
    }
    return ForeignSae(model, has_threshold, described)


def _only_file(folder, names, what):
    found = [name for name in names if (folder / name).is_file()]
    if len(found) != 1:
        raise UserError(
            f"{folder} holds {' and '.join(found) or 'none'} of the {what} files "
            f"{', '.join(names)}: an SAE's folder has exactly one of them"
        )
    return folder / found[0]


def _read_tensors(path):
    """The tensors of a file, float32, by name; never runs code that a pickle holds."""
    try:
        if path.suffix == ".safetensors":
            tensors = safetensors.torch.load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is damaged or a pickle with more than tensors in it, which could run any code "
            "when it is read, so it was not: fetch it again, or save the SAE's state_dict() as "
            "model.safetensors"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{path} is truncated or not a file of weights ({error}): fetch it again"
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and torch.is_tensor(tensor) for name, tensor in tensors.items()
    ):
        raise UserError(
            f"{path} is not a flat mapping of names to tensors: save the SAE's state_dict() itself"
        )
    return {name: tensor.float() for name, tensor in tensors.items()}


def _read_config(path):
    """The config as a mapping."""
    try:
        text = path.read_text(encoding="utf-8")
        config = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read ({error}): fetch it again") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} is not a mapping of names to values: fetch it again")
    return config


def _stated(config, keys):
    return next((config[key] for key in keys if config.get(key) is not None), None)


def _check_config(config, spec, path):
    """UserError when the config states another family or another K than `spec`'s."""
    family = _stated(config, (FAMILY, *FAMILY_KEYS))
    pairs = {
        "family": (family and str(family).lower(), spec.family),
        "k": (config.get("k"), spec.k),
    }
    for what, (stated, expected) in pairs.items():
        if stated is not None and stated != expected:
            raise UserError(
                f"{path} states {what} {stated!r}, but the SAE is to be {spec.name}: correct the "
                "sweep or name another folder"
            )


def _dimensions(encoder, bias, config, spec, folder):
    """(F, D) of an encoder; UserError when they are not those of the config and of `spec`."""
    if encoder.ndim != 2 or bias.shape != encoder.shape[:1]:
        raise UserError(
            f"the encoder in {folder} has a weight {list(encoder.shape)} and a bias "
            f"{list(bias.shape)}, which are not [features, width] and [features]: transpose the "
            "weight or fetch the file again"
        )
    features, width = encoder.shape
    stated = {
        "features": (_stated(config, HIDDEN_KEYS), features),
        "width": (_stated(config, INPUT_KEYS), width),
        "features (by its expansion factor)": (spec.expansion_factor * width, features),
    }
    for what, (expected, found) in stated.items():
        if expected is not None and expected != found:
            raise UserError(
                f"the encoder in {folder} is [{features}, {width}], but the SAE is to have "
                f"{expected} for its {what}: config, weights and sweep are of different SAEs"
            )
    return features, width


def _overcomplete_dictionary(weights, multiplier, path):
    """The dictionary [F, D] that `overcomplete` decodes with: unit rows times exp(multiplier)."""
    norms = weights.norm(dim=-1, keepdim=True)
    if not ((norms - 1).abs() <= NORM_TOLERANCE).all():
        raise UserError(
            f"rows of dictionary._weights in {path} have norms from {float(norms.min()):.3g} to "
            f"{float(norms.max()):.3g}, so this is no trained dictionary with overcomplete's "
            "normalization 'l2', and a state dict does not say which other one it has: save "
            "get_dictionary() as decoder.weight with the plain names"
        )
    scale = 1 if multiplier is None else multiplier.exp()
    return weights / (norms + 1e-8) * scale


def _plain_decoder(decoder, features, width, path):
    """decoder.weight as [F, D], which some save as [D, F], the way of torch.nn.Linear."""
    if features == width and decoder.shape == (features, width):
        raise UserError(
            f"decoder.weight in {path} is square ([{features}, {width}]), so that nothing tells "
            "[features, width] from [width, features]: save the SAE with overcomplete's names, "
            "where dictionary._weights is always [features, width]"
        )
    return decoder.T.contiguous() if decoder.shape == (width, features) else decoder


def _drop_zero_bias(tensors, path):
    """Remove a decoder bias that does nothing; another is left, and refused as unknown."""
    bias = tensors.get(DECODER_BIAS)
    if bias is not None and not bias.any():
        del tensors[DECODER_BIAS]


def _threshold(tensors, config, spec, scale, overcomplete, path):
    """The threshold [] or thresholds [F] that the folder states, or None; taken from `tensors`."""
    if not FAMILIES[spec.family].threshold.per_feature:
        values = [tensors.pop(SCALAR_THRESHOLD, None), config.get("threshold")]
        values = [float(_numbers(v, "the threshold", path)) for v in values if v is not None]
        if len(values) == 2 and not math.isclose(*values, rel_tol=1e-6, abs_tol=1e-12):
            raise UserError(
                f"{path} has {SCALAR_THRESHOLD} {values[0]:.6g}, but the config beside it states "
                f"threshold {values[1]:.6g}: remove the wrong one"
            )
        if not FAMILIES[spec.family].threshold.measured and not values:
            return torch.zeros(())
        return torch.tensor(values[0]) if values else None
    names = [name for name in (FEATURE_THRESHOLDS, OVERCOMPLETE_THRESHOLDS) if name in tensors]
    if len(names) != 1:
        raise UserError(
            f"{path} holds {' and '.join(names) or 'neither'} of {FEATURE_THRESHOLDS} and "
            f"{OVERCOMPLETE_THRESHOLDS}: a JumpReLU SAE has exactly one of them"
        )
    values = tensors.pop(names[0])
    if (scale or _scale(names[0], values, overcomplete, path)) == "log":
        return values.exp()
    if config.get("format") == FORMAT:
        return values
    # visaebench keeps codes above their threshold, this workflow those at it as well.
    return values.nextafter(torch.tensor(math.inf))


def _scale(name, values, overcomplete, path):
    """Whether thresholds are `linear` or `log`, by their name and sign; UserError if unclear."""
    if name == OVERCOMPLETE_THRESHOLDS and overcomplete:
        return "log"
    if name == FEATURE_THRESHOLDS and (values >= 0).all():
        return "linear"
    raise UserError(
        f"{name} in {path} lie between {float(values.min()):.3g} and {float(values.max()):.3g}, "
        "and may be thresholds or their logarithms: say which with threshold_scale, "
        f"{' or '.join(THRESHOLD_SCALES)}"
    )


def _statistics(tensors, config, given, folder):
    """(mean [D], std [], whether they are the folder's own), float32; taken from `tensors`."""
    own = [tensors.pop(name, config.get(name)) for name in STATISTICS]
    stated = sum(value is not None for value in own)
    chosen = own if stated else given
    if chosen is None or stated == 1:
        raise UserError(
            f"{folder} holds no {' and '.join(STATISTICS)}, which an SAE needs to normalise its "
            "input: import it with the statistics of its training activations"
        )
    mean = _numbers(chosen[0], STATISTICS[0], folder, dimensions=1)
    return mean, _numbers(chosen[1], STATISTICS[1], folder), chosen is own


def _numbers(values, what, path, dimensions=0):
    """A float32 tensor of so many dimensions; UserError when `values` are none such."""
    try:
        tensor = torch.as_tensor(values, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is None or tensor.ndim != dimensions:
        raise UserError(
            f"{what} in {path} is {str(values)[:80]}, which is not "
            f"{'a list of numbers' if dimensions else 'a number'}: correct it"
        )
    return tensor


def _check_tensors(model, features, width, folder):
    """UserError unless all tensors of the model fit, are finite, and std is positive."""
    shapes = {"decoder_weight": (features, width), "activation_mean": (width,)}
    if model.threshold.ndim:
        shapes["threshold"] = (features,)
    for name, tensor in vars(model).items():
        if name in shapes and tuple(tensor.shape) != shapes[name]:
            raise UserError(
                f"{name} of the SAE in {folder} has shape {list(tensor.shape)}, which does not fit "
                f"its encoder [{features}, {width}]: fetch its files again"
            )
        if not tensor.isfinite().all():
            raise UserError(
                f"{name} of the SAE in {folder} holds NaN or infinity: it cannot be evaluated"
            )
    if model.activation_std <= 0:
        raise UserError(
            f"activation_std of the SAE in {folder} is {float(model.activation_std):.3g}, which "
            "has to be positive: correct it"
        )
