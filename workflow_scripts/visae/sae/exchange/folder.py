"""What lies in the folder of someone else's SAE: tensors, other values and a config.

Pickles are only ever read as tensors and plain values (`weights_only`): no code in them is run.
"""

import io
import pickle
import re
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import safetensors
import safetensors.torch
import torch

from visae.base.errors import UserError
from visae.base.reading import check_sums, guarded, parse_json, read_json, read_yaml

CONFIG_FILES = ("config.json", "cfg.json", "config.yaml", "config.yml")
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")

# Beside the weights, and none of them: how often features fired, of older versions of sae-lens.
_NO_WEIGHTS = ("sparsity.safetensors",)

# What a state dict may be wrapped in, beside optimisers and the like.
_WRAPPERS = ("state_dict", "model_state_dict")

_HEADER_BYTES = 1 << 16

CURE = "fetch it again"

STATISTICS = ("activation_mean", "activation_std")
"""What files call the mean [D] and the standard deviation [] that normalise an SAE's input."""


class Record:
    """Stands for an object of a library's class in a pickle: has its attributes, and no code."""

    stands_for: ClassVar[str]
    """The dotted name of that class."""


class Folder:
    """An SAE's folder, opened. A reader takes what it understands; the rest is refused.

    path, weights, config_path: where things lie; `config_path` is None where there is none.
    tensors: name → tensor. values: name → anything else that the weights' file holds.
    header: the JSON in the first line of the weights' file, or None. config: the config's mapping,
    of `config_path`, or of the object `cfg` beside the state dict; empty where there is neither.
    config_class: the dotted class of that object, or None.

    Raises UserError for files that are missing, several, damaged, or would run code.
    """

    def __init__(self, path, config_classes=()):
        self.path = path = Path(path)
        self.weights = _only(path, _weight_files(path), f"weights ({', '.join(WEIGHT_SUFFIXES)})")
        configs = [path / name for name in CONFIG_FILES if (path / name).is_file()]
        self.config_path = _only(path, configs, "config") if configs else None
        self.header, content = _read_weights(self.weights, config_classes)
        self.config = _read_config(self.config_path) if self.config_path else {}
        self.config_class = None
        if isinstance(content, dict) and isinstance(record := content.get("cfg"), Record):
            del content["cfg"]
            self.config_class = type(record).stands_for
            self.config = self.config or dict(vars(record))
        self.tensors, self.values = _flattened(content, self.weights)

    def holds(self, *names):
        """Whether all these tensors are there."""
        return all(name in self.tensors for name in names)

    def take(self, name):
        """The tensor `name` as float32; UserError where it is missing."""
        if name not in self.tensors:
            raise UserError(
                f"{self.weights} lacks {name} (it holds {_listed(self.tensors)}): fetch it again"
            )
        return self.tensors.pop(name).float()

    def matrix(self, name):
        """The same, of a tensor that has to have two dimensions."""
        tensor = self.take(name)
        if tensor.ndim != 2:
            raise UserError(
                f"{name} in {self.weights} has shape {list(tensor.shape)}, which is no matrix: "
                "fetch the file again"
            )
        return tensor

    def take_any(self, name):
        """The same, or None where it is missing."""
        return self.take(name) if name in self.tensors else None

    def drop(self, *names):
        """Leave out tensors that the library does not use for codes or reconstructions."""
        for name in names:
            self.tensors.pop(name, None)

    def state(self, key, *others):
        """What the config says under the first of these keys that it has; UserError if none."""
        for name in (key, *others):
            if self.config.get(name) is not None:
                return self.config[name]
        raise UserError(f"{self.config_path or self.weights} does not state {key}: fetch it again")

    def refuse(self, what, cure) -> NoReturn:
        """UserError for a kind of SAE that is not read."""
        raise UserError(f"the SAE in {self.path} {what}: {cure}")

    def refuse_rest(self):
        """UserError if tensors are left that nobody took: leaving them out makes another SAE."""
        if self.tensors:
            self.refuse(
                f"has the tensors {_listed(self.tensors)}, which its library's rule does not know",
                "its encoder has to be linear, with nothing before it; name another folder",
            )

    def found(self):
        """What is in the folder, in a few words, for messages."""
        config = (
            f"{self.config_path.name} with {_listed(self.config)}" if self.config_path else None
        )
        config = config or "no config"
        return f"{self.weights.name} with {_listed(self.tensors)} and {config}"


def _listed(names):
    names = sorted(names)
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "nothing"


def _weight_files(path):
    """Files that may be weights, also below `checkpoints/`, where dictionary-learning puts them."""
    found = [*path.iterdir(), *path.glob("checkpoints/*")]
    return sorted(p for p in found if p.suffix in WEIGHT_SUFFIXES and p.name not in _NO_WEIGHTS)


def _only(path, found, what):
    if len(found) != 1:
        names = [str(file.relative_to(path)) for file in found]
        raise UserError(
            f"{path} holds {' and '.join(names) or 'no file'} for the {what}: an SAE's folder has "
            "exactly one of them"
        )
    return found[0]


def _read_weights(path, config_classes):
    """(header, content) of a file of weights; never runs code that a pickle holds."""
    with guarded(path, "a file of weights", CURE):
        if path.suffix == ".safetensors":
            return None, safetensors.torch.load_file(path)
        header, content = _cut_header(path.read_bytes())
        check_sums(content)
        records: list[Any] = [(_record(name), name) for name in config_classes]
        try:
            with torch.serialization.safe_globals(records):
                return header, torch.load(content, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            named = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
            raise UserError(
                f"{path} is damaged or a pickle with more than tensors in it"
                f"{f' ({named[1]})' if named else ''}, which could run any code when it is read, "
                "so it was not: fetch it again, or save the SAE's state_dict() alone "
                "(docs/published_saes.md)"
            ) from error


def read_named(path):
    """Names → tensors or plain values of a file of weights or of a config."""
    if path.suffix in WEIGHT_SUFFIXES:
        return _flattened(_read_weights(path, ())[1], path)[0]
    return _read_config(path)


def numbers(values, what, path, dimensions=0):
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


def _record(name):
    """A class that holds attributes in place of the class `name`."""
    return type("Record", (Record,), {"stands_for": name})


def _cut_header(data):
    """(JSON of the first line or None, the rest as a file)."""
    if not data.startswith(b"{"):
        return None, io.BytesIO(data)
    line, _, rest = data.partition(b"\n")
    return parse_json(line[:_HEADER_BYTES].decode()), io.BytesIO(rest)


def _read_config(path):
    """The config as a mapping."""
    config = read_json(path, CURE) if path.suffix == ".json" else read_yaml(path, CURE)
    if not isinstance(config, dict):
        raise UserError(f"{path} is not a mapping of names to values: fetch it again")
    return config


def _flattened(content, path):
    """({name: tensor}, {name: other value}); a state dict within stands for the whole file."""
    if isinstance(content, dict):
        inner = [content[name] for name in _WRAPPERS if isinstance(content.get(name), dict)]
        content = inner[0] if len(inner) == 1 else content
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise UserError(
            f"{path} is not a mapping of names to tensors: save the SAE's state_dict() itself"
        )
    tensors, values = {}, {}
    for name, value in content.items():
        if torch.is_tensor(value):
            tensors[name] = value.detach()
        elif isinstance(value, dict):
            for inner, part in value.items():
                (tensors if torch.is_tensor(part) else values)[f"{name}/{inner}"] = part
        else:
            values[name] = value
    return tensors, values
