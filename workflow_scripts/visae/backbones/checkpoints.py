"""Files of weights as training frameworks leave them → tensors by name, with nothing in them run.

Read are safetensors and PyTorch's formats, in one file or in shards, and TorchScript archives. What
is nested in a file comes out flat: `head.weight` in `state_dict_ema` is
`state_dict_ema.head.weight`.
"""

import contextlib
import pickle
import re
import zipfile
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from visae.base import seals
from visae.base.errors import UserError
from visae.base.reading import check_sums, guarded, read_json
from visae.base.seals import SEAL

FORMAT = "visae-weights-1"
"""Of weights that a study has pretrained."""
# Usual names in a folder, in order of preference.
FILE_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_pytorch_model.bin",
)
CURE = "fetch the file again, or convert it to safetensors"
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".tar")
SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d+)-of-(?P<count>\d+)(?P<suffix>\.\w+)")
# Settings that scripts save beside the weights. A stand-in takes their place: they are never built.
SETTINGS = ("argparse.", "numpy.", "omegaconf.", "pathlib.", "types.SimpleNamespace", "typing.")


def read_tensors(spec):
    """The tensors by name in the file or folder that `spec.weights` names.

    Raises:
        UserError: it does not exist, holds no weights, is damaged, or would execute code; a folder
            that holds several.
    """
    tensors = {}
    for path in _files(spec):
        tensors |= _flat(_content(path, spec))
    if not tensors:
        raise UserError(
            f"The weights {spec.weights} of backbone '{spec.name}' are not a dictionary of "
            "tensors: save the model's state_dict."
        )
    return tensors


def _flat(content, prefix=""):
    """Name → tensor of dictionaries in dictionaries and lists; what is no tensor is left out.

    The second dictionary of a list `models` is `models[1].`.
    """
    tensors = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        if torch.is_tensor(value):
            tensors[f"{prefix}{name}"] = value
        elif isinstance(name, str):  # optimizers number their states
            tensors |= _flat(value, f"{prefix}{name}.")
    for number, value in enumerate(content) if isinstance(content, list | tuple) else ():
        if isinstance(value, dict):
            tensors |= _flat(value, f"{prefix.removesuffix('.')}[{number}].")
    return tensors


# ---------------------------------------------------------------- which files


def _files(spec):
    """The files that hold the weights: one, or all shards."""
    path = Path(spec.weights)
    if path.is_dir():
        path = _file_in(path, spec)
    if not path.is_file():
        raise UserError(
            f"The weights '{path}' of backbone '{spec.name}' do not exist: give `pretrained`, "
            "`random`, or the path of a file or folder."
        )
    names, count = [path.name], 1
    if path.name.endswith(".index.json"):
        names = _indexed(path, spec)
        count = len(names)
    elif shard := SHARD.fullmatch(path.name):
        names, count = _numbered(shard), int(shard["count"])
    files = []
    for name in names:
        if not (path.parent / name).is_file():
            raise UserError(
                f"The weights {path} of backbone '{spec.name}' are {count} files, of which "
                f"{name} is not there: fetch it again, or put the index where its shards are."
            )
        files.append(path.parent / name)
    return files


def _numbered(shard):
    """The names of all shards, one after the other: their number is only what a name says."""
    digits, count = len(shard["number"]), int(shard["count"])
    for number in range(1, count + 1):
        yield f"{shard['stem']}-{number:0{digits}}-of-{shard['count']}{shard['suffix']}"


def _file_in(folder, spec):
    """The file of weights in a folder, or one of the shards."""
    for name in FILE_NAMES:
        if (folder / name).is_file():
            return folder / name
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES or path.name.endswith(".index.json"):
            shard = SHARD.fullmatch(path.name)
            whole = f"{shard['stem']}{shard['suffix']}" if shard else path.name
            found.setdefault(whole.removesuffix(".index.json"), path)
    if not found:
        below = {path.parent for suffix in SUFFIXES for path in folder.glob(f"*/*{suffix}")}
        cure = f"; give one of its folders: {', '.join(map(str, sorted(below)))}" if below else ""
        raise UserError(
            f"The folder {folder}, given as weights of backbone '{spec.name}', holds no file that "
            f"ends in {', '.join(SUFFIXES)}{cure}."
        )
    if len(found) > 1:
        raise UserError(
            f"The folder {folder}, given as weights of backbone '{spec.name}', holds several "
            f"({', '.join(found)}): give the path of one of them."
        )
    return next(iter(found.values()))


def _indexed(path, spec):
    """The names of the shards that an index lists."""
    with guarded(path, f"an index of shards for the weights of backbone '{spec.name}'", CURE):
        names = sorted(set(read_json(path, CURE)["weight_map"].values()))
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
            raise ValueError("a shard is not beside it, nor below")
        return names


# ---------------------------------------------------------------- what is in a file


def _content(path, spec):
    with guarded(path, f"a file of weights, those of backbone '{spec.name}'", CURE):
        with path.open("rb") as file:
            head = file.read(64)
        if head.startswith(b"version https://git-lfs"):
            raise UserError(
                f"The weights {path} of backbone '{spec.name}' are a pointer of Git LFS, not the "
                "file: run `git lfs pull` where they were cloned."
            )
        if head.lstrip().startswith(b"<"):
            raise UserError(
                f"The weights {path} of backbone '{spec.name}' are a web page, not the file: fetch "
                "it again; a page asks for a licence or a login, or says that there is no such "
                "file."
            )
        if path.suffix == ".safetensors" or head[8:10] == b'{"':
            with safe_open(path, "pt") as file:
                own = SEAL in (file.metadata() or {})
            return seals.read_tensors(path, FORMAT, anywhere=True) if own else load_file(path)
        check_sums(path)
        try:
            if _is_torchscript(path):
                return _torchscript(path)
            with _settings_aside(path):
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise UserError(
                f"The weights {path} of backbone '{spec.name}' are damaged or hold more than "
                "tensors, which is refused because loading them could execute code: save the "
                "model's state_dict where they were made, or convert them to safetensors."
            ) from error


class _Aside:
    """Stands for an object of the file that is not needed."""

    def __init__(self, *_): ...
    def __setstate__(self, _): ...


def _settings_aside(path):
    """Within the block settings in the file at `path` are read as nothing."""
    if not zipfile.is_zipfile(path):
        return contextlib.nullcontext()
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    return torch.serialization.safe_globals(
        [(_Aside, name) for name in names if name.startswith(SETTINGS)]
    )


# ---------------------------------------------------------------- TorchScript

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def _is_torchscript(path):
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _torchscript(path):
    """The attributes of the archive's module, dictionaries in dictionaries; no code is compiled."""
    with zipfile.ZipFile(path) as archive:
        pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        with archive.open(pickled) as file:
            return _Module(_Archive(file, archive, pickled.removesuffix(".pkl")).load())


class _Module(dict):
    """A module of an archive: what it holds, by name."""

    def __setstate__(self, state):
        self.update(state if isinstance(state, dict) else {})


class _Archive(pickle.Unpickler):
    """Reads tensors and the modules that hold them; anything else is refused or set aside."""

    def __init__(self, file, archive, storages):
        super().__init__(file)
        self.archive, self.storages = archive, storages

    def find_class(self, module, name):
        if module.startswith("__torch__"):
            return _Module
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch.jit._pickle" or (module, name) == ("torch", "device"):
            return _Aside
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a module")

    def persistent_load(self, pid):
        _, dtype, key, *_ = pid
        values = bytearray(self.archive.read(f"{self.storages}/{key}"))
        return torch.frombuffer(values, dtype=dtype) if values else torch.empty(0, dtype=dtype)


def _tensor(storage, offset, shape, stride, *_):
    return torch.as_strided(storage, shape, stride, offset).clone()
