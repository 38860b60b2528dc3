"""Exported SAEs, as the published package reads them: by its documented rules and by itself."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from visae.sae.checkpoint import load_sae, save_sae
from visae.sae.exchange.export import export_sae
from visae.sae.exchange.foreign import read_foreign
from visae.sae.exchange.form import Reading
from visae.sae.model import SparseAutoencoder
from visae.sae.specs import SaeSpec

WIDTH, FEATURES = 8, 24
SPECS = [
    SaeSpec("batchtopk", 3, 4),
    SaeSpec("topk", 3, 4),
    SaeSpec("jumprelu", 3, 4),
    SaeSpec("relu", 3, 0.001),
]


def documented(folder, subfolder):
    """What docs/custom_models.md of visaebench 0.1.0 says that its loader does."""
    config = json.loads((folder / subfolder / "config.json").read_text())
    tensors = load_file(folder / subfolder / "model.safetensors")
    assert tensors["encoder.weight"].shape == (config["hidden_dim"], config["input_dim"])

    def encode(x):
        codes = torch.relu(x @ tensors["encoder.weight"].T + tensors["encoder.bias"])
        if config["activation"] == "jumprelu":
            return codes * (codes > tensors["jump_thresholds"])
        assert config["activation"] == "batchtopk"
        assert torch.tensor(config["threshold"]) == tensors["_running_threshold"]
        return codes * (codes >= config["threshold"])

    return SimpleNamespace(encode=encode, decode=lambda codes: codes @ tensors["decoder.weight"])


def published(folder, subfolder):
    hub = pytest.importorskip(
        "visaebench.hub", reason="the published package visaebench is not installed"
    )
    return hub.load_sae(str(folder), subfolder=subfolder, device="cpu")


def write_ours(folder, spec, model):
    config = {
        "name": spec.name,
        "activation": spec.family,
        "k": spec.k,
        "input_dim": WIDTH,
        "hidden_dim": FEATURES,
        "data": {"backbone": "toy", "layer": 3},
    }
    save_sae(folder, model, config, [])


def random_model(spec, seed=0):
    generator = torch.Generator().manual_seed(seed)
    thresholds = {
        "jumprelu": torch.rand(FEATURES, generator=generator),
        "relu": torch.zeros(()),
    }
    return SparseAutoencoder(
        torch.randn(FEATURES, WIDTH, generator=generator),
        torch.randn(FEATURES, generator=generator),
        torch.nn.functional.normalize(torch.randn(FEATURES, WIDTH, generator=generator), dim=1),
        thresholds.get(spec.family, torch.tensor(0.7)),
        torch.randn(WIDTH, generator=generator),
        torch.tensor(1.5),
    )


@pytest.mark.parametrize("load", [documented, published])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.family)
def test_encode_and_decode_agree(tmp_path, spec, load):
    model = random_model(spec)
    write_ours(tmp_path / "ours", spec, model)
    assert export_sae(tmp_path / "ours", tmp_path / "out") == tmp_path / "out" / spec.name
    theirs = load(tmp_path / "out", spec.name)
    x = torch.randn(500, WIDTH, generator=torch.Generator().manual_seed(1))
    codes = model.encode(x)
    assert 0 < (codes > 0).float().mean() < 1
    assert torch.equal(codes > 0, theirs.encode(x) > 0)
    torch.testing.assert_close(theirs.encode(x), codes)
    torch.testing.assert_close(theirs.decode(codes), model.decode(codes))


@pytest.mark.parametrize("load", [documented, published])
@pytest.mark.parametrize("spec", [SPECS[0], SPECS[2]], ids=lambda spec: spec.family)
def test_codes_at_and_just_below_the_threshold_agree(tmp_path, spec, load):
    model = random_model(spec)
    model.encoder_weight = torch.eye(WIDTH).repeat(3, 1)
    model.encoder_bias = torch.zeros(FEATURES)
    model.threshold = torch.full_like(model.threshold, 0.3)
    write_ours(tmp_path / "ours", spec, model)
    theirs = load(tmp_path / "out", export_sae(tmp_path / "ours", tmp_path / "out").name)
    at = torch.tensor(0.3)
    x = torch.stack([at, at.nextafter(torch.tensor(0.0))])[:, None].expand(2, WIDTH)
    codes = theirs.encode(x)
    assert torch.equal(codes, model.encode(x))
    assert (codes[0] > 0).all()
    assert not codes[1].any()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.family)
def test_an_export_is_imported_unchanged(tmp_path, spec):
    model = random_model(spec)
    write_ours(tmp_path / "ours", spec, model)
    again = read_foreign(export_sae(tmp_path / "ours", tmp_path / "out"), Reading(spec))
    assert again.budget is None
    for name, tensor in load_sae(tmp_path / "ours").model.tensors().items():
        assert torch.equal(getattr(again.model, name), tensor), name
