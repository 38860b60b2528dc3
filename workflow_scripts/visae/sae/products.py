"""The matrix product of training: float32, or float16 operands summed in float32."""

from __future__ import annotations

import torch

from visae.base.arrays import Float


def product(
    left: Float[torch.Tensor, "m k"], right: Float[torch.Tensor, "k n"], half: bool
) -> Float[torch.Tensor, "m n"]:
    """left @ right in float32; with `half`, float16 operands and a float32 sum.

    CUDA has a kernel for the latter; elsewhere the rounded operands are multiplied in float32,
    which is the same number up to the order of the sum.
    """
    if not half:
        return left @ right
    if left.is_cuda:
        return torch.mm(left.half(), right.half(), out_dtype=torch.float32)
    return left.half().float() @ right.half().float()
