"""Names of SAEs and their training settings."""

import math
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visae.base.errors import UserError
from visae.sae.families import FAMILIES
from visae.sae.specs import SOME_HAVE, SaeSpec, TrainingSettings, check_own


@pytest.mark.parametrize(
    "spec, name",
    [
        (SaeSpec("batchtopk", 16, 128), "batchtopk_16x_k128"),
        (SaeSpec("jumprelu", 16, 64), "jumprelu_16x_l0_64"),
        (SaeSpec("topk", 8, 64), "topk_8x_k64"),
        (SaeSpec("relu", 32, 0.001), "relu_32x_l1_0.001"),
        (SaeSpec("relu", 32, 3e-7), "relu_32x_l1_3e-07"),
    ],
)
def test_names_read_back(spec, name):
    assert spec.name == name
    assert SaeSpec.from_text(name) == spec


@given(
    st.sampled_from([f for f in FAMILIES if FAMILIES[f].sparsity.counted]),
    st.integers(1, 256),
    st.integers(1, 10**6),
)
@settings(max_examples=30, deadline=None)
def test_every_name_reads_back(family, expansion_factor, sparsity):
    spec = SaeSpec(family, expansion_factor, sparsity)
    assert SaeSpec.from_text(spec.name) == spec


@pytest.mark.parametrize(
    "name",
    [
        "batchtopk_16x_l0_64",
        "jumprelu_16x_k64",
        "gated_16x_k64",
        "batchtopk_16x_k064",
        "batchtopk_16x_k6.5",
        "batchtopk_0x_k64",
        "batchtopk",
        "relu_16x_l1_-",
        "relu_16x_l1_nan",
        "relu_16x_l1_inf",
        "relu_16x_k3",
        "topk_16x_k1e3",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(UserError):
        SaeSpec.from_text(name)


def test_k_is_none_without_a_target():
    assert SaeSpec("jumprelu", 16, 64).k == 64
    assert SaeSpec("relu", 16, 0.01).k is None


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"checkpoint_minutes": -1}, "checkpoint_minutes"),
        ({"precision": "float64"}, "float16"),
        ({"recipes": {"jumprelu": "secret"}}, "calibrated or paper"),
        ({"recipes": {"topk": "paper"}}, "trains no TopK SAEs: remove it"),
    ],
)
def test_settings_are_checked(changes, word):
    with pytest.raises(UserError, match=word):
        TrainingSettings(**changes)


def test_specs_import_no_torch():
    program = "import sys, visae.sae.specs; sys.exit('torch' in sys.modules)"
    path = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": path})


@pytest.mark.parametrize("spec", ["mine=topk_4x_k8", "mine=relu_2.5x_l1_0.1", "mine=topk_4x_"])
def test_a_spec_keeps_the_name_that_people_gave_it(spec):
    found = SaeSpec.from_text(spec)
    assert (found.name, found.text) == ("mine", spec)
    assert (found.sparsity is None) == spec.endswith("_")


@pytest.mark.parametrize("label", [None, "mine"])
@pytest.mark.parametrize(
    ("family", "sparsity"),
    [("topk", -1), ("topk", 0), ("relu", math.inf), ("relu", math.nan), ("jumprelu", -0.5)],
)
def test_no_sae_has_a_sparsity_that_cannot_be(family, sparsity, label):
    with pytest.raises(UserError, match="is not a positive"):
        SaeSpec(family, 4, sparsity, label)


def test_only_an_sae_with_a_name_of_its_own_may_have_an_unknown_sparsity():
    assert SaeSpec("topk", 4, None, "mine").k is None
    assert SaeSpec("topk", 4.5, 2.5, "mine").k == 2.5
    for factor, sparsity, said in (
        (4, None, "sparsity None"), (4, 2.5, "sparsity 2.5"), (4.5, 2, "expansion factor 4.5"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=f"^{said} "):
            SaeSpec("topk", factor, sparsity)


def test_settings_of_other_families_are_refused_unless_they_are_off():
    spec = SaeSpec("topk", 4, 8)
    for name in set(SOME_HAVE) - set(FAMILIES["topk"].settings):
        check_own(spec, {name: None})
        with pytest.raises(UserError, match=f"{name} is for SAEs of"):
            check_own(spec, {name: 3})
