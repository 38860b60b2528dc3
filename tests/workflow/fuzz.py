"""Damaged files, read: every reader of the library, on mutations of a small file that it wrote.

    python tests/workflow/fuzz.py [--mutations 1000] [--seed 0] [--of NAME …] [--show]

prints, for each kind of file, what became of its mutations: `refused` (a UserError), `same` (read
as what was written), `other` (read as something else), `traceback` (any other exception), `crash`
and `time-out`. Mutations are drawn from a seed, so that none is kept. They are read in a child
process, in which a library may crash, or stay busy without end.
"""

import argparse
import contextlib
import dataclasses
import faulthandler
import hashlib
import io
import json
import os
import random
import re
import resource
import select
import signal
import struct
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from visae.base.errors import UserError  # noqa: E402

OUTCOMES = ("refused", "same", "other", "traceback", "crash", "time-out")
SECONDS = 20
"""How long a file that is read in milliseconds may take: the machine may be busy."""
NO_FILES = (os.mkdir, os.mkfifo)
"""What lies in the place of the file in the first mutations: a folder, a pipe."""
MEMORY = 2**31
"""Bytes that reading it may take."""


class Kind(NamedTuple):
    """A kind of file and its reader."""

    name: str
    make: Callable[[Path], Path]
    """Writes a valid file below a folder, with what its reader needs beside it."""
    read: Callable[[Path], Any]
    digest: bool = True
    """Whether the file holds a digest of its content, so that no other content is accepted."""


# ---------------------------------------------------------------- mutations


def mutated(whole, path, draw):
    """Other bytes than `whole`, which lie at `path`. draw: random.Random."""
    ways = [*_OF_BYTES * 2, *(_OF_TEXT if _is_text(whole) else ())]
    ways += _OF_SUFFIX.get(path.suffix, ()) * 4
    for _ in range(100):
        with contextlib.suppress(Exception):  # NumPy or HDF5 cannot write every change
            changed = bytes(draw.choice(ways)(whole, draw))
            if changed != whole:
                return changed
    raise ValueError(f"{path} has no mutation")


def _is_text(whole):
    with contextlib.suppress(UnicodeDecodeError):
        return "\0" not in whole.decode()
    return False


def _block(whole, draw):
    """(start, stop) of a part of a file, short or long."""
    start = draw.randrange(len(whole) or 1)
    return start, min(len(whole), start + 2 ** draw.randrange(1, 10))


def _bits(whole, draw):
    changed = bytearray(whole or b"\0")
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        bit = draw.randrange(8 * len(changed))
        changed[bit // 8] ^= 1 << bit % 8
    return changed


def _cut(whole, draw):
    return whole[: draw.randrange(len(whole) or 1)]


def _overwritten(whole, draw):
    start, stop = _block(whole, draw)
    return whole[:start] + draw.choice((b"\0", b"\xff", b" ")) * (stop - start) + whole[stop:]


def _twice(whole, draw):
    start, stop = _block(whole, draw)
    return whole[:stop] + whole[start:stop] + whole[stop:]


def _removed(whole, draw):
    start, stop = _block(whole, draw)
    return whole[:start] + whole[stop:]


def _exchanged(whole, draw):
    (start, stop), (other, end) = sorted((_block(whole, draw), _block(whole, draw)))
    if stop > other:
        return _removed(whole, draw)
    return whole[:start] + whole[other:end] + whole[stop:other] + whole[start:stop] + whole[end:]


def _appended(whole, draw):
    return whole + draw.choice((b"\0", b"\n", b"x", draw.randbytes(100), whole))


def _random_bytes(whole, draw):
    start, stop = _block(whole, draw)
    return whole[:start] + draw.randbytes(stop - start) + whole[stop:]


def _number(whole, draw):
    """One of the file's integers of 4 or 8 bytes is another one."""
    code = draw.choice(("<I", "<Q"))
    size = struct.calcsize(code)
    if len(whole) <= size:
        return b""
    start = draw.randrange(len(whole) - size)
    value = draw.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), 2 ** (4 * size), 7))
    return whole[:start] + struct.pack(code, value) + whole[start + size :]


_OF_BYTES = (_bits, _bits, _cut, _overwritten, _twice, _removed, _exchanged, _appended,
             _random_bytes, _number)  # fmt: skip
_WORDS = ("nan", "NaN", ".nan", "-inf", "Infinity", ".inf", "1e999", "-1", "0", "1", "1" * 5000,
          "99999999999999999999", "", "text", "null", "true", "[]", "{}", "é", "0x10", "1_0",
          "\ud800".encode("utf-16-le", "surrogatepass").decode("latin-1"))  # fmt: skip


def _word(whole, draw):
    """A word or number is another one."""
    found = list(re.finditer(r"-?\d[\d.e+-]*|\w+", text := whole.decode()))
    if not found:
        return b"text"
    at = draw.choice(found)
    return (text[: at.start()] + draw.choice(_WORDS) + text[at.end() :]).encode()


def _lines(whole, draw):
    """A line is gone, twice there, elsewhere, or another one's."""
    lines = whole.decode().splitlines(keepends=True) or [""]
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    way = draw.randrange(4)
    if way == 0:
        del lines[one]
    elif way == 1:
        lines.insert(other, lines[one])
    elif way == 2:
        lines[one], lines[other] = lines[other], lines[one]
    else:
        lines[one] = draw.choice(("\n", "\0\n", '"\n', ",,,,\n", "\t\t\n", "[" * 3000, "- {a: b\n"))
    return "".join(lines).encode()


def _fields(whole, draw):
    """Two fields of a line are exchanged, or one of them is gone."""
    lines = whole.decode().splitlines(keepends=True) or [""]
    at = draw.randrange(len(lines))
    mark = draw.choice((",", "\t", " ", ": "))
    parts = lines[at].split(mark)
    one, other = draw.randrange(len(parts)), draw.randrange(len(parts))
    if draw.random() < 0.5:
        parts[one], parts[other] = parts[other], parts[one]
    else:
        del parts[one]
    lines[at] = mark.join(parts)
    return "".join(lines).encode()


def _encoding(whole, draw):
    text = whole.decode()
    return draw.choice((text.encode("utf-16"), text.encode("utf-8-sig"), b"\xe9" + whole,
                        text.replace("\n", "\r\n").encode(), b"", b"\n", b"\0" * 9))  # fmt: skip


def _json(whole, draw):
    """A value is another one, or a key stands there twice, is gone or has another name."""
    try:
        document = json.loads(whole)
    except ValueError:
        return _word(whole, draw)
    places = []

    def walk(value):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            places.append((value, key))
            if isinstance(value[key], dict | list):
                walk(value[key])

    if isinstance(document, dict | list):
        walk(document)
    if not places:
        return b"{}"
    inside, key = draw.choice(places)
    way = draw.randrange(4)
    if way == 0:
        del inside[key]
    elif way == 1 and isinstance(inside, dict):
        # JSON of a mapping cannot hold a key twice: a marker is made one.
        inside["\x01"] = draw.choice((None, 1, "x", inside[key]))
        return json.dumps(document).replace(json.dumps("\x01"), json.dumps(key)).encode()
    elif way == 2 and isinstance(inside, dict):
        inside[f"{key}s"] = inside.pop(key)
    else:
        values = (None, True, -1, 10**30, 0.5, "", "x", [], {}, [[[]]], float("nan"), float("inf"))
        inside[key] = draw.choice(values)
    return json.dumps(document).encode()


_OF_TEXT = (_word, _word, _word, _lines, _fields, _encoding)


def _array(values, draw):
    """Other values, another type, another shape."""
    values = np.array(values)
    way = draw.randrange(7)
    if way == 0 and values.dtype.kind in "fiu":
        return values.astype(draw.choice(("f4", "f8", "i8", "i4", "u1", "f2", "S4", "c8")))
    if way == 1 and values.size:
        return values.ravel()[: draw.randrange(values.size)]
    if way == 2:
        return values[None] if draw.random() < 0.5 else values.T
    if way == 3 and values.dtype.kind == "f" and values.size:
        values.ravel()[draw.randrange(values.size)] = draw.choice((np.nan, np.inf, -1e30))
        return values
    if way == 4 and values.dtype.kind in "iu" and values.size:
        flat = values.ravel()
        flat[draw.randrange(values.size)] = draw.choice((0, 2**31 - 1, np.iinfo(flat.dtype).max))
        return flat.reshape(values.shape)
    if way == 5 and values.size:
        return np.concatenate([values.ravel(), values.ravel()[:1]])
    return np.array(draw.choice(("text", 7, 0.5)))


def _hdf5(whole, draw):
    """A data set or an attribute is another one, is gone, or is called otherwise."""
    stream = io.BytesIO(whole)
    with h5py.File(stream, "r+") as file:
        items = []
        file.visititems(lambda name, item: items.append(item))
        items = [item for item in items if isinstance(item, h5py.Dataset)]
        attributes = [(item, key) for item in (file, *items) for key in item.attrs]
        if attributes and draw.random() < 0.4:
            item, key = draw.choice(attributes)
            if draw.random() < 0.2:
                del item.attrs[key]
            else:
                value = item.attrs[key]
                item.attrs[key] = (
                    draw.choice(("", "text", 5))
                    if isinstance(value, str | bytes)
                    else _array(value, draw)
                )
        elif items:
            data = draw.choice(items)
            name, inside = data.name, data.parent
            if data.is_virtual or data.dtype.kind == "O" or draw.random() < 0.2:
                if draw.random() < 0.5:
                    file.move(name, f"{name}_")
                else:
                    del file[name]
            else:
                values, checked = _array(data[()], draw), data.fletcher32
                del file[name]
                checked = checked and values.ndim > 0 and values.size > 0
                inside.create_dataset(name, data=values, fletcher32=checked or None)
    return stream.getvalue()


def _npz(whole, draw):
    with np.load(io.BytesIO(whole)) as file:
        arrays = {name: file[name] for name in file.files}
    return _with_one_changed(arrays, draw, lambda out: np.savez(out, **arrays))


def _safetensors(whole, draw):
    from safetensors import numpy as tensors_of

    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    metadata = header.get("__metadata__")
    if draw.random() < 0.3:  # the header alone
        changed = _json(json.dumps(header).encode(), draw)
        return struct.pack("<Q", len(changed)) + changed + whole[8 + length :]
    arrays = {name: value.copy() for name, value in tensors_of.load(whole).items()}

    def write(out):
        kept = {k: np.ascontiguousarray(v) for k, v in arrays.items() if v.dtype.kind in "fiub"}
        out.write(tensors_of.save(kept, metadata))

    return _with_one_changed(arrays, draw, write)


def _with_one_changed(arrays, draw, write):
    name = draw.choice(sorted(arrays))
    if draw.random() < 0.2:
        arrays[f"{name}s"] = arrays.pop(name)
    else:
        arrays[name] = _array(arrays[name], draw)
    out = io.BytesIO()
    write(out)
    return out.getvalue()


_OF_SUFFIX = {
    ".h5": (_hdf5, _hdf5),
    ".npz": (_npz, _npz),
    ".safetensors": (_safetensors, _safetensors),
    ".json": (_json, _json),
    ".jsonl": (_json,),
}


# ---------------------------------------------------------------- what is read


def plain(value, digest=None):
    """Hash of a value of arrays, tensors, mappings, sequences and records."""
    top, digest = digest is None, digest or hashlib.sha256()
    if isinstance(value, h5py.Dataset):
        value = value[()]
    if isinstance(value, torch.Tensor):
        digest.update(str(value.dtype).encode())
        value = value.detach().double().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
    elif dataclasses.is_dataclass(value):
        plain(vars(value), digest)
    elif isinstance(value, Mapping):
        for key in value:
            digest.update(f"{key!r}:".encode(errors="surrogatepass"))
            plain(value[key], digest)
    elif isinstance(value, list | tuple | np.ndarray):
        digest.update(b"[%d" % len(value))
        for part in value:
            plain(part, digest)
    else:
        digest.update(repr(value).encode(errors="surrogatepass"))
    return digest.hexdigest() if top else None


# ---------------------------------------------------------------- a child process


def outcomes(kind, folder, seed, mutations):
    """[(outcome, words)] of the mutations of `kind` with this seed. folder: an empty one."""
    path = kind.make(folder)
    whole = path.read_bytes()
    expected = plain(kind.read(path))
    found = []
    while len(found) < mutations:
        found += _in_child(kind, path, whole, expected, seed, range(len(found), mutations))
    _clear(path)
    return found


def _clear(path):
    """Let nothing lie at `path`; what is still open, or mapped to memory, stays."""
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


def _in_child(kind, path, whole, expected, seed, numbers):
    """Outcomes from a child process, up to the mutation at which it ends."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.close(reader)
            _work(kind, path, whole, expected, seed, numbers, os.fdopen(writer, "w", 1))
        os._exit(0)
    os.close(writer)
    found, rest, ended = [], b"", None
    while ended is None:
        if not select.select([reader], [], [], SECONDS)[0]:
            os.kill(child, signal.SIGKILL)
            ended = "time-out"
        elif part := os.read(reader, 65536):
            *lines, rest = (rest + part).split(b"\n")
            found += [tuple(json.loads(line)) for line in lines]
        else:
            ended = "crash"
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if len(found) < len(numbers):
        found.append((ended, f"mutation {numbers[len(found)]}, status {status}"))
    return found


def _work(kind, path, whole, expected, seed, numbers, out):
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    warnings.simplefilter("ignore")
    faulthandler.disable()
    torch.set_num_threads(1)
    with open("/proc/self/statm", encoding="ascii") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in numbers:
        draw = random.Random(f"{kind.name} {seed} {number}")
        _clear(path)
        if number < len(NO_FILES):
            NO_FILES[number](path)
        else:
            path.write_bytes(mutated(whole, path, draw))
        out.write(json.dumps(_outcome(kind, path, expected, number)) + "\n")


def _outcome(kind, path, expected, number):
    try:
        found = plain(kind.read(path))
    except UserError as error:
        return "refused", str(error)
    except BaseException as error:  # SystemExit as well
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if "/visae/" in f.filename] or frames
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        return "traceback", f"{type(error).__name__} {where} mutation {number}: {error}"[:300]
    return ("same" if found == expected else "other"), f"mutation {number}"


def main():
    """The table of all kinds on the terminal."""
    from fuzz_kinds import KINDS

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mutations", type=int, default=300, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--of", nargs="*", help="names of kinds; all, if none")
    parser.add_argument("--show", action="store_true", help="what was no refusal, in words")
    args = parser.parse_args()
    print(f"{'':28}" + "".join(f"{name:>10}" for name in OUTCOMES))
    total = Counter()
    for kind in KINDS:
        if args.of and kind.name not in args.of:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = outcomes(kind, Path(folder), args.seed, args.mutations)
        counts = Counter(outcome for outcome, _ in found)
        total += counts
        mark = "" if kind.digest else " *"
        print(f"{kind.name + mark:28}" + "".join(f"{counts[n]:10}" for n in OUTCOMES), flush=True)
        if args.show:
            words = Counter(
                f"{o}: {re.sub(r' mutation [0-9]+', '', w)}" for o, w in found if o == "traceback"
            )
            for word, times in words.most_common(12):
                print(f"    {times} × {word[:160]}")
            others = [(o, w) for o, w in found if o in ("crash", "time-out")]
            others += [(o, w) for o, w in found if o == "other" and kind.digest]
            for outcome, word in others[:8]:
                print(f"    {outcome}: {word}")
    print(f"{'all':28}" + "".join(f"{total[name]:10}" for name in OUTCOMES))
    print("* holds no digest: what is in it is checked, not that it has not changed")


if __name__ == "__main__":
    main()
