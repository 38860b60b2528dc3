"""The probes of the metrics as a GPU computes them: every line but the device's name.

`cpu:0` is the CPU to torch and another device than `cpu` to the metrics, which then take the way
that CUDA takes: torch, float32, Newton's method for every budget. Where there is a GPU, it is
tried too.
"""

import numpy as np
import pytest
import torch
from metric_fixtures import make_codes

from visae.evals.absorption.compute import absorption
from visae.evals.cross_domain.compute import domain_reading, raw_reading
from visae.evals.preservation.compute import preservation
from visae.evals.sparse_probing.compute import sparse_probing
from visae.probing.rankings import rank_features
from visae.probing.raw_probes import fit_domain_probe
from visae.probing.siblings import SiblingGroup
from visae.probing.splits import stratified_split

GROUPS = [SiblingGroup("p", (0, 1, 2)), SiblingGroup("q", (3, 4, 5))]


@pytest.fixture(scope="module", params=["cpu:0", "cuda:0"])
def device(request):
    if request.param.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return request.param


@pytest.fixture(scope="module")
def problem():
    random = np.random.default_rng(3)
    labels = np.arange(420) % 6
    codes_fn = make_codes(150, labels, 1.0)
    raw = random.normal(size=(420, 16)) + random.normal(size=(6, 16))[labels]
    recon = raw + random.normal(size=raw.shape)
    return raw.astype(np.float32), recon.astype(np.float32), codes_fn, labels


def test_sparse_probing(problem, device):
    _, _, codes_fn, labels = problem
    test_mask = stratified_split(labels)
    rankings = rank_features(codes_fn, labels, ~test_mask)
    arguments = codes_fn, rankings, labels, test_mask, (1, 16, 64)
    here, there = sparse_probing(*arguments), sparse_probing(*arguments, device=device)
    np.testing.assert_allclose(there.arrays["auc"], here.arrays["auc"], atol=6e-3)
    assert there.value == pytest.approx(here.value, abs=2e-3)
    for name, value in there.readings.items():
        # One of 84 test images may lie on a boundary.
        assert value == pytest.approx(here.readings[name], abs=0.013), name
    assert there.details["estimator"].startswith("torch L-BFGS")
    assert there.details["not_converged"] == {"one_vs_rest": 0, "multinomial": 0, "as_run": 0}


def test_absorption(problem, device):
    _, _, codes_fn, labels = problem
    test_mask = stratified_split(labels)
    rankings = rank_features(codes_fn, labels, ~test_mask, GROUPS)
    arguments = codes_fn, rankings, GROUPS, labels, test_mask
    here, there = absorption(*arguments), absorption(*arguments, device=device)
    for name in ("f1_one", "f1_four"):
        np.testing.assert_allclose(there.arrays[name], here.arrays[name], atol=1e-12)
    assert there.readings == here.readings
    assert there.details["not_converged"] == 0


def test_preservation(problem, device):
    raw, recon, _, labels = problem
    test_mask = stratified_split(labels)
    here = preservation(raw, recon, labels, test_mask)
    there = preservation(raw, recon, labels, test_mask, device=device)
    assert there.value == pytest.approx(here.value, abs=0.02)
    assert there.readings == pytest.approx(here.readings, abs=0.02)
    assert there.details["converged"] == {"raw": True, "retrained": True}


def test_cross_domain(problem, device):
    raw, recon, codes_fn, labels = problem
    train, test = slice(0, 300), slice(300, None)
    rankings = rank_features(codes_fn[:, train], labels[train], np.ones(300, bool))

    def read(on):
        known = raw_reading(
            fit_domain_probe(raw[train], labels[train], on), raw[test], labels[test]
        )
        return domain_reading(
            known, recon[train], recon[test], codes_fn[:, train], codes_fn[:, test], rankings,
            labels[train], labels[test], on,
        )  # fmt: skip

    here, there = read("cpu"), read(device)
    assert there.preservation == pytest.approx(here.preservation, abs=0.02)
    assert there.accuracy_codes == pytest.approx(here.accuracy_codes, abs=0.01)
    assert there.auc_codes == pytest.approx(here.auc_codes, abs=2e-3)
    assert there.not_converged == 0
