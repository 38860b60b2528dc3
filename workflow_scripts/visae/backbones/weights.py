"""Weights of a backbone as files: safetensors, or PyTorch files without executable pickles."""

import contextlib
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from visae.base.errors import UserError
from visae.base.files import atomic_path

# Usual names in a folder, in order of preference.
FILE_NAMES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
# Where training scripts put the weights among other things.
WRAPPERS = ("state_dict", "model")


def save_weights(backbone, path):
    """Write the weights of `backbone` as a safetensors file that `weights: path` loads again."""
    tensors = {name: t.detach().cpu().clone() for name, t in backbone.model.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)


def read_weights(spec):
    """The tensors by name in the file or folder that `spec.weights` names.

    Raises:
        UserError: it does not exist, holds no weights, is damaged, or would execute code.
    """
    path = _weights_file(spec)
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise UserError(
                f"The weights {path} of backbone '{spec.name}' are damaged or no safetensors file "
                f"({error}): fetch the file again."
            ) from error
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(
            f"The weights {path} of backbone '{spec.name}' are damaged or hold more than tensors, "
            "which is refused because loading them could execute code: convert them to safetensors."
        ) from error
    for key in WRAPPERS:
        if isinstance(tensors, dict) and isinstance(tensors.get(key), dict):
            tensors = tensors[key]
    if not isinstance(tensors, dict) or not all(map(torch.is_tensor, tensors.values())):
        raise UserError(
            f"The weights {path} of backbone '{spec.name}' are not a dictionary of tensors: save "
            "the model's state_dict."
        )
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _weights_file(spec):
    path = Path(spec.weights)
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(
            f"The weights '{path}' of backbone '{spec.name}' do not exist: give `pretrained`, "
            "`random`, or the path of a file or folder."
        )
    found = [path / name for name in FILE_NAMES if (path / name).is_file()]
    if not found:
        found = sorted(path.glob("*.safetensors"))
    if not found:
        raise UserError(
            f"The folder {path}, given as weights of backbone '{spec.name}', holds no "
            f"*.safetensors file and none of {', '.join(FILE_NAMES)}."
        )
    return found[0]


def load_into(model, tensors, spec):
    """Load `tensors` by name; every weight of `model` must be among them with its shape.

    Further tensors (classification heads, text towers, decoders) are left out, unless they
    belong to a list of the model, as the blocks of a deeper network do.

    Raises:
        UserError: naming the first weight that is missing, differs in shape, or is too many.
    """
    wanted = model.state_dict()
    containers = (torch.nn.ModuleList, torch.nn.Sequential)
    lists = [f"{n}." for n, m in model.named_modules() if isinstance(m, containers) and len(m)]
    problems = [f"{name} is missing" for name in wanted if name not in tensors]
    problems += [
        f"{name} has shape {list(tensors[name].shape)} instead of {list(weight.shape)}"
        for name, weight in wanted.items()
        if name in tensors and tensors[name].shape != weight.shape
    ]
    problems += [
        f"{name} is one too many"
        for name in tensors
        if name not in wanted and name.startswith(tuple(lists))
    ]
    check_fit(spec, problems)
    model.load_state_dict({name: tensors[name] for name in wanted})


def check_fit(spec, problems):
    """Refuse weights with `problems`, sentences about single tensors.

    Raises:
        UserError: citing the first problem and their number.
    """
    if problems:
        raise UserError(
            f"The weights '{spec.weights}' do not fit '{spec.model}' of backbone '{spec.name}' "
            f"({problems[0]}; {len(problems)} such tensors): give weights of this architecture, or "
            "the `image_size` and `options` that they were made with."
        )


@contextlib.contextmanager
def fitting(spec):
    """Turn what a library raises about tensors of wrong shapes into a UserError."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError) as error:
        check_fit(spec, [_first_line(error)])


@contextlib.contextmanager
def random_weights(seed):
    """Within the block torch draws from `seed`; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def download(spec):
    """Turn whatever a library raises when it cannot get weights into a UserError."""
    # OSError covers the hub's own errors and urllib's; open_clip raises RuntimeError.
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"The pretrained weights '{spec.model}' of backbone '{spec.name}' are neither in the "
            f"cache of {spec.loader} nor can they be downloaded ({_first_line(error)}): fetch them "
            "on a machine with network and set `weights` to the file or folder."
        ) from error


@contextlib.contextmanager
def construction(spec):
    """Turn what a library raises about constructor arguments into a UserError."""
    try:
        yield
    except (TypeError, ValueError, AssertionError, KeyError) as error:
        raise UserError(
            f"'{spec.model}' of backbone '{spec.name}' cannot be built with image_size "
            f"{spec.image_size} and options {spec.options} ({_first_line(error)}): correct them."
        ) from error


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
