"""What a vision transformer is built of, measured on one forward pass.

Blocks, patches and prefix tokens are read from what the modules of the model put out, not from what
its attributes say: some models lack those, and behind a convolutional stem they are wrong.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from visae.backbones.weights import first_line
from visae.base.errors import UserError

SMALL_PART = 0.1  # a list of modules with less of the largest list's weights holds no blocks


@dataclass(frozen=True)
class Structure:
    """What was measured.

    blocks: the transformer blocks, in order. grid: (H, W) patches. patch: the pixels of a patch's
    side. apart: whether a patch's pixels enter its own token alone, not those of its neighbours as
    well, as behind several convolutions. prefix_tokens: tokens beside the patches. width: D.
    """

    blocks: list[nn.Module]
    grid: tuple[int, int]
    patch: int
    apart: bool
    prefix_tokens: int
    width: int


@dataclass(frozen=True)
class _Call:
    """One call of a module, with the shapes of the first tensors that go in and come out."""

    module: nn.Module
    entered: tuple[int, ...]
    left: tuple[int, ...]


def measure(spec, model, run, image_13hw):
    """The `Structure` of `model` for images of the size of `image_13hw`.

    run: a function of images that calls the model. The image's content plays no part, so that the
    meta device will do.

    Raises:
        UserError: saying what is missing to a plain vision transformer: a list of blocks, a token
            per patch in every block, patches that are found, square and fill the image.
    """
    lists = _lists_of_blocks(model)
    if not lists:
        raise _refused(spec, "has no list of blocks of one kind")
    calls, error = _forward(model, lists, run, image_13hw)
    found = {
        name: tokens
        for name, blocks in lists.items()
        if (tokens := _tokens_of(blocks, calls)) is not None
    }
    if not found:
        if error is not None and not any(_called(blocks, calls) for blocks in lists.values()):
            size = " × ".join(str(side) for side in image_13hw.shape[2:])
            raise UserError(
                f"'{spec.model}' of backbone '{spec.name}' cannot read images of {size} pixels "
                f"alone ({type(error).__name__}: {first_line(error)}): set `image_size` to its "
                "own size, correct its options, or choose a plain vision transformer."
            ) from error
        largest = max(lists, key=lambda name: _weights_of(lists[name]))
        raise _refused(spec, _why_not(largest, lists[largest], calls, error))
    starts = {
        name: next(i for i, call in enumerate(calls) if call.module is lists[name][0])
        for name in found
    }
    # What comes after the blocks may have lists too, such as one that merges tokens for a text.
    name = min(starts, key=lambda each: starts[each])
    blocks, first, (tokens, width) = lists[name], starts[name], found[name]
    if 2 * _weights_of(blocks) < sum(_weights_of(lists[other]) for other in found):
        raise _refused(spec, f"has its blocks in several lists ({', '.join(found)})")
    (rows, columns), (patch_height, patch_width), apart = _patches(
        spec, calls[:first], tokens, width, image_13hw.shape[2:]
    )
    if patch_height != patch_width:
        raise _refused(
            spec,
            f"has patches of {patch_height} × {patch_width} pixels, and maps are of square ones",
        )
    height, width_of_image = image_13hw.shape[2:]
    if (rows * patch_height, columns * patch_width) != (height, width_of_image):
        raise UserError(
            f"Backbone '{spec.name}' cuts images of {height} × {width_of_image} pixels into "
            f"patches of {patch_height}, which leaves a rest: set `image_size` to a multiple of "
            f"{patch_height}."
        )
    prefix = tokens - rows * columns
    return Structure(list(blocks), (rows, columns), patch_height, apart, prefix, width)


def tokens(output):
    """A block's tokens [B, T, D], of what it puts out or takes: alone, the first of some, a map."""
    tensor = output if isinstance(output, torch.Tensor) else output[0]
    return tensor.flatten(1, 2) if tensor.ndim == 4 else tensor


def _refused(spec, what):
    return UserError(
        f"'{spec.model}' of backbone '{spec.name}' {what}: it is no vision transformer with one "
        "token per patch in every block, which alone can be used; choose another model."
    )


def _lists_of_blocks(model):
    """{name: modules} of the lists whose members are of one class, the outermost only."""
    lists, inside = {}, []
    for name, module in model.named_modules():
        if name.startswith(tuple(inside)):
            continue
        members = list(module) if isinstance(module, (nn.ModuleList, nn.Sequential)) else []
        kinds = {type(member) for member in members}
        if len(kinds) != 1 or kinds & {nn.ModuleList, nn.ModuleDict, nn.Identity}:
            continue
        lists[name] = members
        inside.append(f"{name}.")
    largest = max(map(_weights_of, lists.values()), default=0)
    return {n: m for n, m in lists.items() if _weights_of(m) > SMALL_PART * largest}


def _weights_of(modules):
    return sum(weight.numel() for module in modules for weight in module.parameters())


def _forward(model, lists, run, image_13hw):
    """The calls of one forward pass, those inside of blocks left out, and what it raised or None.

    What comes after the blocks may fail, such as a pooling for images of some sizes.
    """
    blocks = {block for members in lists.values() for block in members}
    within = {part for block in blocks for part in block.modules()} - blocks
    calls = []

    def note(module, arguments, keywords, output):
        entered, left = _tensors((*arguments, *keywords.values())), _tensors(output)
        if left:
            # Tokens at several scales are not those of one grid.
            shape = () if sum(t.ndim == 3 for t in left) > 1 else tuple(left[0].shape)
            calls.append(_Call(module, tuple(entered[0].shape) if entered else (), shape))

    hooks = [
        module.register_forward_hook(note, with_kwargs=True)
        for module in model.modules()
        if module not in within
    ]
    try:
        with torch.inference_mode():
            run(image_13hw)
    except UserError:
        raise
    except Exception as error:  # a model of any kind can come here, so that any error can
        return calls, error
    finally:
        for hook in hooks:
            hook.remove()
    return calls, None


def _tensors(values):
    if isinstance(values, (tuple, list)):
        return [value for value in values if isinstance(value, torch.Tensor)]
    return [values] if isinstance(values, torch.Tensor) else []


def _called(blocks, calls):
    return [call for call in calls if any(call.module is block for block in blocks)]


def _tokens_of(blocks, calls):
    """(T, D) of blocks that are called in order, once each, and all put out the same; or None."""
    own = _called(blocks, calls)
    shapes = {call.left for call in own}
    if [id(call.module) for call in own] != [id(block) for block in blocks] or len(shapes) != 1:
        return None
    shape = shapes.pop()
    if len(shape) not in (3, 4) or shape[0] != 1:
        return None
    if len(shape) == 4:
        before = calls[: next(i for i, call in enumerate(calls) if call is own[0])]
        # As a map [1, H, W, D], not as that of a convolutional network.
        if not any(call.left == (1, shape[3], *shape[1:3]) for call in before):
            return None
    return math.prod(shape[1:-1]), shape[-1]


def _why_not(name, blocks, calls, error):
    """What is wrong with a list of blocks, after 'the model …'."""
    own = _called(blocks, calls)
    if len(own) != len(blocks):
        why = f" ({type(error).__name__}: {first_line(error)})" if error else ""
        return f"runs {len(own)} of the {len(blocks)} modules of its list `{name}`{why}"
    shapes = list(dict.fromkeys(call.left for call in own))
    if () in shapes:
        return f"puts out several arrays of tokens at once in `{name}`"
    if len(shapes) == 1:
        return f"puts out an array of shape {shapes[0]}, not [1, tokens, width], in `{name}`"
    return f"puts out arrays of several shapes in `{name}` ({shapes[0]}, {shapes[1]})"


def _patches(spec, stem, tokens, width, size):
    """(H, W) of the grid, (height, width) of a patch in pixels, and `apart`, by the stem."""
    for call in reversed(stem):
        if len(call.left) != 4 or call.left[0] != 1 or width not in (call.left[1], call.left[3]):
            continue
        grid = call.left[2:] if call.left[1] == width else call.left[1:3]
        if math.prod(grid) <= tokens:
            patch, apart = _patch_of_convolutions(stem, grid, size)
            return grid, patch, apart
    for call in stem:
        if not isinstance(call.module, nn.Linear) or len(call.entered) != 3:
            continue
        patch = math.isqrt(call.entered[2] // 3)
        rows, columns = (side // max(1, patch) for side in size)
        if 3 * patch**2 == call.entered[2] and rows * columns == call.entered[1] <= tokens:
            return (rows, columns), (patch, patch), True
    raise _refused(
        spec,
        f"puts out {tokens} tokens in its blocks, and has no patch embedding that puts out as many "
        "or fewer",
    )


def _patch_of_convolutions(stem, grid, size):
    """(height, width) in pixels of what convolutions made one of `grid` patches of, and `apart`."""
    for call in stem:
        single = isinstance(call.module, nn.Conv2d) and call.entered == (1, 3, *size)
        if single and call.left[2:] == grid:
            return call.module.stride, call.module.kernel_size == call.module.stride
    if all(side % n == 0 for side, n in zip(size, grid, strict=True)):
        return tuple(side // n for side, n in zip(size, grid, strict=True)), False
    # Stages of convolutions halve the image, some number of times.
    halved = tuple(2 ** round(math.log2(side / n)) for side, n in zip(size, grid, strict=True))
    return halved, False
