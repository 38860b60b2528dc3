"""Weights of a backbone: found in a file whatever stands around them, saved, downloaded, drawn."""

import contextlib
import functools
import json
import re
from typing import NamedTuple

import torch

from visae.backbones.checkpoints import FORMAT, read_tensors
from visae.base.errors import UserError
from visae.base.seals import made_of, write_tensors

# What torch.compile, FSDP and activation checkpointing put into the names of what they wrap.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# The numbers by which blocks multiply what they add to the tokens.
LAYER_SCALES = re.compile(r"(ls_?[12]\.gamma|gamma_[12])$")
# A class, register or distillation token, which goes through all blocks.
PREFIX_TOKEN = re.compile(r"(.*\.)?(cls|class|dist|distillation|reg|register|storage)_?"
                          r"(token|embedding)s?")  # fmt: skip
GROUPED = re.compile(r"blocks\.(\d+)\.(\d+)\.(.+)")


def save_weights(backbone, path, inputs=()):
    """Write the weights of `backbone` as a safetensors file that `weights: path` loads again.

    inputs: the files that they were made of.
    """
    tensors = {name: t.detach().cpu().clone() for name, t in backbone.model.state_dict().items()}
    write_tensors(path, FORMAT, tensors, made_of(path, inputs))


def load_weights(backbone, translate=lambda tensors: tensors):
    """Load the local weights of `backbone.spec` into `backbone.model`.

    The file may hold more than the model, and may hold it under other names. Looked for is the one
    beginning of names (`state_dict_ema.module.`) below which all weights are found that patch
    tokens depend on. `backbone.weights_reading` says what was taken, and the job's log too.

    translate: a function of tensors by name, as published, that answers with tensors by the model's
    names.

    Raises:
        UserError: as `read_tensors`; weights of another architecture, naming the first that is
            missing, differs in shape or is too many; several networks that fit.
    """
    spec = backbone.spec
    tensors, notes = _unwrapped(read_tensors(spec))
    parts = _parts(tensors, len(backbone.model.state_dict()) // 2)
    if spec.weights_part is not None:
        parts = [part for part in parts if _below(part.prefix, spec.weights_part)]
    never_read = functools.cache(lambda: _never_read(backbone))
    fits = [_fit(backbone.model, part, translate, never_read) for part in parts]
    if not fits:
        raise UserError(
            f"The weights '{spec.weights}' of backbone '{spec.name}' hold no network of the size "
            f"of '{spec.model}'"
            + (f" below '{spec.weights_part}'" if spec.weights_part is not None else "")
            + f": their tensors' names begin with {_beginnings(tensors)}."
        )
    whole = [fit for fit in fits if not fit.problems]
    chosen = whole[0] if whole else max(fits, key=lambda fit: len(fit.found))
    check_fit(spec, chosen.problems)
    others = [fit for fit in whole[1:] if not _equal(fit.found, chosen.found)]
    if others:
        places = [f"`{fit.part.prefix}`" for fit in (chosen, *others)]
        raise UserError(
            f"The weights '{spec.weights}' of backbone '{spec.name}' hold {len(places)} networks "
            f"that fit '{spec.model}' and differ, with names below {' and '.join(places)}: choose "
            f"one with `weights_part: {json.dumps(others[0].part.prefix.rstrip('.'))}`."
        )
    backbone.model.load_state_dict(chosen.found, strict=False)
    backbone.weights_reading = "; ".join([*notes, *chosen.notes])
    if backbone.weights_reading:
        print(f"{spec.weights}: {backbone.weights_reading}")


class _Part(NamedTuple):
    """The tensors below one beginning of names, without it."""

    prefix: str
    tensors: dict


class _Fit(NamedTuple):
    """How a part fits: the model's weights in it, what is wrong, and what there is to say."""

    part: _Part
    found: dict
    problems: list
    notes: list


def _unwrapped(tensors):
    """Tensors without wrappers' pieces of names, and notes of what was dropped."""
    plain = {".".join(p for p in n.split(".") if p not in WRAPPERS): t for n, t in tensors.items()}
    dropped = sorted({p for n in tensors for p in n.split(".") if p in WRAPPERS})
    if not dropped or len(plain) < len(tensors):  # two copies, which remain two
        return tensors, []
    return plain, [f"{', '.join(dropped)} taken out of names"]


def _parts(tensors, least):
    """Every `_Part` of at least so many tensors, the whole first."""
    parts, prefixes = [], [""]
    while prefixes:
        prefix = prefixes.pop(0)
        inside = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        if len(inside) >= least:
            parts.append(_Part(prefix, inside))
            heads = sorted({name.partition(".")[0] for name in inside if "." in name})
            prefixes += [f"{prefix}{head}." for head in heads if not head.isdigit()]
    return parts


def _below(prefix, part):
    """Whether `part` stands in `prefix`, as whole pieces of it; "" is the top level alone."""
    return not prefix if not part else f".{part.strip('.')}." in f".{prefix}"


def _beginnings(tensors):
    return ", ".join(sorted({f"`{name.partition('.')[0]}`" for name in tensors}))


def _fit(model, part, translate, never_read):
    """How the tensors of `part` fit `model`.

    Further tensors (classification heads, text towers, decoders) are left out, unless they belong
    to a list of the model, as the blocks of a deeper network do, or are tokens of the prefix.
    """
    tensors, grouped = _ungrouped(part.tensors)
    quantised = [n for n, t in tensors.items() if t.ndim > 1 and t.dtype.itemsize == 1]
    if quantised:
        return _Fit(part, {}, [f"{n} is quantised ({tensors[n].dtype})" for n in quantised], [])
    try:
        tensors = translate(tensors)
    except Exception as error:  # a library's translation of names that it does not expect
        return _Fit(part, {}, [first_line(error)], [])
    wanted = model.state_dict()
    containers = (torch.nn.ModuleList, torch.nn.Sequential)
    lists = [f"{n}." for n, m in model.named_modules() if isinstance(m, containers) and len(m)]
    found = {n: t for n, t in tensors.items() if n in wanted and t.shape == wanted[n].shape}
    missing = [name for name in wanted if name not in tensors]
    if missing and found:
        spared = [name for name in missing if name in never_read()]
        missing = [name for name in missing if name not in spared]
    else:
        spared = []
    problems = [f"{name} is missing" for name in missing]
    problems += [
        f"{name} has shape {list(tensors[name].shape)} instead of {list(weight.shape)}"
        for name, weight in wanted.items()
        if name in tensors and name not in found
    ]
    problems += [
        f"{name} is one too many"
        for name in tensors
        if name not in wanted and (name.startswith(tuple(lists)) or is_prefix_token(name, wanted))
    ]
    notes = [f"names without `{part.prefix}`"] if part.prefix else []
    notes += ["blocks in groups, in their order"] if grouped else []
    notes += [f"{', '.join(spared)} not in the file, and never read"] if spared else []
    return _Fit(part, found, problems, notes)


def is_prefix_token(name, wanted):
    """Whether the tensor `name` of a file is a token that stands beside those of the model's own.

    Without it the network would be another. wanted: the names of the model's tensors.
    """
    beside = name.rpartition(".")[0]
    return PREFIX_TOKEN.fullmatch(name) is not None and any(
        each.rpartition(".")[0] == beside for each in wanted
    )


def _ungrouped(tensors):
    """Blocks in groups (`blocks.2.7.`: block 7, in group 2) as plain blocks; whether there are.

    DINOv2's training code groups blocks so, to shard them.
    """
    names = {name: GROUPED.fullmatch(name) for name in tensors if name.startswith("blocks.")}
    places = {(int(m[1]), int(m[2])) for m in names.values() if m}
    blocks = sorted(block for _, block in places)
    if not names or not all(names.values()) or blocks != list(range(len(blocks))):
        return tensors, False
    plain = {name: f"blocks.{m[2]}.{m[3]}" for name, m in names.items() if m}
    return {plain.get(name, name): tensor for name, tensor in tensors.items()}, True


def _never_read(backbone):
    """The names of parameters on which no block's output depends: final norms and heads."""
    model = backbone.model.requires_grad_(True)
    with torch.enable_grad():
        output = backbone.block_output_with_grad(backbone.blank(), backbone.depth - 1)
    read, nodes, seen = set(), [output.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            read.add(id(node.variable))
        nodes += [following for following, _ in node.next_functions]
    model.requires_grad_(False)
    return {name for name, weight in model.named_parameters() if id(weight) not in read}


def _equal(tensors, others):
    return tensors.keys() == others.keys() and all(
        torch.equal(tensor, others[name]) for name, tensor in tensors.items()
    )


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


def start_layer_scales(model):
    """Set all layer scales of a model with random weights to 1, as transformers starts them.

    timm's own 1e-5 (DINOv2, DINOv3, DeiT-III) lets tokens go through all blocks unchanged.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if LAYER_SCALES.search(name):
                weight.fill_(1)


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
            f"cache of {spec.loader} nor can they be downloaded ({first_line(error)}): fetch them "
            "on a machine with network and set `weights` to the file or folder."
        ) from error


@contextlib.contextmanager
def construction(spec):
    """Turn what a library raises about constructor arguments into a UserError."""
    try:
        yield
    except Exception as error:  # the arguments are anyone's, so that the error can be any
        raise UserError(
            f"'{spec.model}' of backbone '{spec.name}' cannot be built with image_size "
            f"{spec.image_size} and options {spec.options} ({first_line(error)}): correct them."
        ) from error


def first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
