"""The checkpoints of other libraries: what a sweep says of each, and what the library computed."""

import json
from pathlib import Path

import numpy as np
import torch

from visae.sae.exchange.form import Reading
from visae.sae.specs import SaeSpec

CHECKPOINTS = Path(__file__).parent / "sae/exchange/checkpoints"
ALL = sorted(
    str(path.parent.relative_to(CHECKPOINTS)) for path in CHECKPOINTS.glob("*/*/facts.json")
)
READ = [name for name in ALL if (CHECKPOINTS / name / "codes.npy").exists()]
REFUSED = [name for name in ALL if name not in READ]

# Beside the grid, what has to be said of folders that do not say it.
SECTIONS = {
    "overcomplete/batchtopk": {"input": "raw", "threshold": 0.5},
    "dictionary_learning/standard_raw": {"normalize_decoder": False},
    "sae_lens/standard_expected_average_only_in": {"input": "raw"},
}
for _name in ALL:
    _library = _name.split("/")[0]
    if _library in ("overcomplete", "saev"):
        SECTIONS.setdefault(_name, {"input": "raw"})
    if _library == "vit_prisma":
        SECTIONS[_name] = {"hook_point": "block_output"}

# Batch-dependent codes: the threshold that is measured on the inputs themselves is the batch's.
BATCHES = ("batchtopk_repo/batchtopk", "sae_lens/batchtopk_training_checkpoint")

# Saved before a threshold was measured: the library computes a plain ReLU, and this workflow
# measures one.
UNMEASURED = ("dictionary_learning/batchtopk_untrained_threshold", "saev/batchtopk_zero_threshold")


def facts(name):
    """What is known of a checkpoint."""
    return json.loads((CHECKPOINTS / name / "facts.json").read_text())


def family(name):
    """The family of a sweep in which the checkpoint stands."""
    activation = facts(name)["rule"]["activation"]
    if "batchtopk" in name.split("/")[1]:
        return "batchtopk"
    families = {"threshold": "jumprelu", "gated": "relu", "relu": "relu", "batchtopk": "batchtopk"}
    return families.get(activation, "topk")


def reading(name, **section):
    """What a sweep says of a checkpoint; `section` replaces keys of `reading`."""
    chosen = family(name)
    sparsity = 0.001 if chosen == "relu" else facts(name)["rule"].get("k", 8)
    return Reading(SaeSpec(chosen, 4, sparsity), **SECTIONS.get(name, {}) | section)


def computed(name):
    """(inputs [N, D], codes [N, F], reconstruction [N, D]) by the library."""
    files = ("inputs", "codes", "reconstruction")
    return [torch.from_numpy(np.load(CHECKPOINTS / name / f"{file}.npy")) for file in files]
