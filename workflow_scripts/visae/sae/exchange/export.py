"""Our SAEs in the layouts of visaebench, sae-lens and dictionary-learning, for others.

`visaebench.hub.load_sae(folder, subfolder="batchtopk_16x_k128")` (0.1.0) reads the folder itself.
The package works on normalised activations and takes mean and std as arguments of its `evaluate`;
they lie beside the weights as `activation_mean` and `activation_std`, which it ignores.

`sae_lens.SAE.load_from_disk` (6.54.12) reads its subfolder `sae_lens/`, and
`dictionary_learning.utils.load_dictionary` (0.1.0) its subfolder `dictionary_learning/`. Both
take activations as they are: mean and std are folded into encoder and decoder.
"""

import math
from pathlib import Path

import safetensors.torch
import torch

from visae.base.errors import UserError
from visae.base.files import atomic_path, write_json
from visae.sae.checkpoint import FEATURE_THRESHOLDS, WEIGHTS, load_sae
from visae.sae.exchange.form import FAMILY


def export_sae(folder, destination):
    """Write the SAE in `folder` to `destination`/{name}/ in every layout, and return that path.

    Codes and reconstructions by the libraries agree with ours to float32 rounding.

    Raises UserError when `folder` is not an SAE of this workflow, or one whose rule is not a
    threshold (K per token, tokens that are normalised one by one).
    """
    saved = load_sae(folder)
    if saved.model.inference:
        raise UserError(
            f"the SAE in {folder} computes codes by {saved.model.inference}, which the exported "
            "layouts cannot all say: share the folder that it was imported from"
        )
    destination = Path(destination) / saved.spec.name
    _write_visaebench(saved, safetensors.torch.load_file(Path(folder) / WEIGHTS), destination)
    raw = _on_raw_activations(saved.model)
    _write_sae_lens(saved, raw, destination / "sae_lens")
    _write_dictionary_learning(saved, raw, destination / "dictionary_learning")
    return destination


def _write_visaebench(saved, tensors, destination):
    """The package's `batchtopk` is any SAE with one fixed threshold.

    Every family but JumpReLU has one here; the package's `topk` would keep K per token instead.
    """
    described = {
        FAMILY: saved.spec.family,
        "activation": "batchtopk",
        "k": saved.config["k"],
        "input_dim": saved.model.width,
        "hidden_dim": saved.model.features,
        "expansion_factor": saved.spec.expansion_factor,
        "data": saved.config["data"],
    }
    if FEATURE_THRESHOLDS in tensors:
        described["activation"] = "jumprelu"
        tensors[FEATURE_THRESHOLDS] = _below(tensors[FEATURE_THRESHOLDS])
    else:
        described["threshold"] = float(saved.model.threshold)
    write_json(destination / "config.json", described)
    _write_tensors(destination / WEIGHTS, tensors)


def _write_sae_lens(saved, raw, destination):
    """A `jumprelu` SAE, which subtracts b_dec; one threshold becomes F equal ones."""
    write_json(
        destination / "cfg.json",
        {
            "architecture": "jumprelu",
            "d_in": saved.model.width,
            "d_sae": saved.model.features,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": True,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": {"hook_name": f"blocks.{saved.config['data']['layer']}.hook_resid_post"},
        },
    )
    tensors = {
        "W_enc": raw["encoder"].T,
        "b_enc": saved.model.encoder_bias,
        "W_dec": raw["decoder"],
        "b_dec": saved.model.activation_mean,
        "threshold": _below(saved.model.threshold.expand(saved.model.features)),
    }
    _write_tensors(destination / "sae_weights.safetensors", tensors)


def _write_dictionary_learning(saved, raw, destination):
    """A JumpReluAutoEncoder, which adds b_dec and does not subtract it."""
    model = saved.model
    state = {
        "W_enc": raw["encoder"].T.contiguous(),
        "b_enc": model.encoder_bias - raw["encoder"] @ model.activation_mean,
        "W_dec": raw["decoder"].contiguous(),
        "b_dec": model.activation_mean,
        "threshold": _below(model.threshold.expand(model.features)),
    }
    trainer = {
        "dict_class": "JumpReluAutoEncoder",
        "activation_dim": model.width,
        "dict_size": model.features,
        "layer": saved.config["data"]["layer"],
    }
    write_json(destination / "config.json", {"trainer": trainer})
    with atomic_path(destination / "ae.pt") as temporary:
        torch.save(state, temporary)


def _on_raw_activations(model):
    """Encoder and decoder [F, D] that take and give activations without their mean."""
    return {
        "encoder": model.encoder_weight / model.activation_std,
        "decoder": model.decoder_weight * model.activation_std,
    }


def _below(thresholds):
    """Thresholds whose "above" is "at or above" these: all three keep codes above theirs."""
    return thresholds.nextafter(torch.tensor(-math.inf))


def _write_tensors(path, tensors):
    with atomic_path(path) as temporary:
        safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, temporary)
