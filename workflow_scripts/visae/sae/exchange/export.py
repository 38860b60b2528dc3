"""Our SAEs in the layout that the published `visaebench` package (0.1.0) loads.

`visaebench.hub.load_sae(folder, subfolder="batchtopk_16x_k128")` reads what is written here. The
package works on normalised activations and takes mean and std as arguments of its `evaluate`;
they lie beside the weights as `activation_mean` and `activation_std`, which it ignores.
"""

import math
from pathlib import Path

import safetensors.torch
import torch

from visae.base.errors import UserError
from visae.base.files import atomic_path, write_json
from visae.sae.checkpoint import FEATURE_THRESHOLDS, WEIGHTS, load_sae
from visae.sae.exchange.libraries.visaebench import FAMILY


def export_sae(folder, destination):
    """Write the SAE in `folder` to `destination`/{name}/ and return that path.

    Two files: `model.safetensors` and `config.json`. Encoding and decoding by the package agree
    with ours to float32 rounding. The package's `batchtopk` is any SAE with one fixed threshold,
    which every family but JumpReLU has here (its `topk` would keep K per token instead).

    Raises UserError when `folder` is not an SAE of this workflow, or one whose rule the layout
    cannot say (K per token with negative codes, tokens that are normalised one by one).
    """
    saved = load_sae(folder)
    model, config = saved.model, saved.config
    if model.inference:
        raise UserError(
            f"the SAE in {folder} computes codes by {model.inference}, which the layout of "
            "visaebench cannot say: share the folder that it was imported from"
        )
    destination = Path(destination) / saved.spec.name
    tensors = safetensors.torch.load_file(Path(folder) / WEIGHTS)
    described = {
        FAMILY: saved.spec.family,
        "activation": "batchtopk",
        "k": config["k"],
        "input_dim": model.width,
        "hidden_dim": model.features,
        "expansion_factor": saved.spec.expansion_factor,
        "data": config["data"],
    }
    if FEATURE_THRESHOLDS in tensors:
        described["activation"] = "jumprelu"
        # The package keeps codes above their threshold, this workflow those at it as well.
        thresholds = tensors[FEATURE_THRESHOLDS].nextafter(torch.tensor(-math.inf))
        tensors[FEATURE_THRESHOLDS] = thresholds
    else:
        described["threshold"] = float(model.threshold)
    write_json(destination / "config.json", described)
    with atomic_path(destination / WEIGHTS) as temporary:
        safetensors.torch.save_file(tensors, temporary)
    return destination
