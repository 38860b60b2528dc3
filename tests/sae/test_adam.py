"""Adam and clipping against torch's own, and that neither imports torch's compiler."""

import os
import subprocess
import sys

import pytest
import torch

from visae.base import fingerprints
from visae.sae.adam import Adam, clip_gradients

SHAPES = [(40, 12), (40,), (12, 40)]


def parameters(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def set_gradients(tensors, seed):
    generator = torch.Generator().manual_seed(seed)
    for tensor in tensors:
        tensor.grad = torch.randn(tensor.shape, generator=generator)


@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
def test_the_steps_are_those_of_torch(weight_decay):
    ours, theirs = parameters(), parameters()
    optimizer = Adam(ours, 1e-2, weight_decay)
    reference = torch.optim.Adam(theirs, lr=1e-2, weight_decay=weight_decay, fused=True)
    for step in range(30):
        optimizer.learning_rate = reference.param_groups[0]["lr"] = 1e-2 / (step + 1)
        for tensors in (ours, theirs):
            set_gradients(tensors, step)
        optimizer.step()
        reference.step()
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=0)


def test_a_run_goes_on_from_its_state():
    whole, first = parameters(), parameters()
    optimizer, before = Adam(whole, 1e-2), Adam(first, 1e-2)
    for step in range(10):
        set_gradients(whole, step)
        optimizer.step()
    for step in range(4):
        set_gradients(first, step)
        before.step()
    second = [torch.nn.Parameter(tensor.detach().clone()) for tensor in first]
    after = Adam(second, 1e-2)
    after.load_state(before.state())
    for step in range(4, 10):
        set_gradients(second, step)
        after.step()
    assert all(torch.equal(own, other) for own, other in zip(whole, second, strict=True))
    assert not any(torch.equal(own, other) for own, other in zip(first, second, strict=True))


@pytest.mark.parametrize("largest_norm", [0.5, 1e6])
@pytest.mark.parametrize("number", [1, 3])
def test_clipping_is_that_of_torch(largest_norm, number):
    ours, theirs = parameters()[:number], parameters()[:number]
    for tensors in (ours, theirs):
        set_gradients(tensors, 7)
    assert bool(clip_gradients(ours, largest_norm)) == (largest_norm == 0.5)
    torch.nn.utils.clip_grad_norm_(theirs, largest_norm)
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-6, atol=0)


def test_training_does_not_import_the_compiler():
    program = (
        "import sys, torch\n"
        "from visae.sae.families.batchtopk.trainer import BatchTopK\n"
        "from visae.sae.families.jumprelu.trainer import JumpReLU\n"
        "from visae.sae.specs import SaeSpec, TrainingSettings\n"
        "x = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))\n"
        "for family, name in ((BatchTopK, 'batchtopk_4x_k2'), (JumpReLU, 'jumprelu_4x_l0_2')):\n"
        "    family(SaeSpec.from_text(name), 8, TrainingSettings(), 'cpu').step(x)\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(fingerprints.SCRIPTS)},
    )
    assert done.stdout.split() == ["False"]
