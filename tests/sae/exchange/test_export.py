"""Exported SAEs, as the published package reads them: by its documented rules and by itself."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from visae.base.errors import UserError
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
    SaeSpec("matryoshka", 3, 4),
    SaeSpec("gated", 3, 4),
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
        "sparsity": spec.sparsity,
        "expansion_factor": spec.expansion_factor,
        "input_dim": WIDTH,
        "hidden_dim": FEATURES,
        "data": {"backbone": "toy", "layer": 3},
    }
    save_sae(folder, model, config, [])


def random_model(spec, seed=0):
    generator = torch.Generator().manual_seed(seed)
    thresholds = {
        "jumprelu": torch.rand(FEATURES, generator=generator),
        "gated": (torch.rand(FEATURES, generator=generator) - 0.5).clamp(min=1e-45),
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


# ---------------------------------------------------------------- sae-lens, dictionary-learning


def by_sae_lens(folder):
    """The rule of its JumpReLUSAE: b_dec subtracted, codes above their threshold."""
    tensors = load_file(folder / "sae_lens/sae_weights.safetensors")
    config = json.loads((folder / "sae_lens/cfg.json").read_text())
    assert (config["architecture"], config["apply_b_dec_to_input"]) == ("jumprelu", True)
    assert config["normalize_activations"] == "none"
    assert tensors["W_enc"].shape == (config["d_in"], config["d_sae"])

    def encode(a):
        pre = (a - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]
        return torch.relu(pre) * (pre > tensors["threshold"])

    return encode, lambda codes: codes @ tensors["W_dec"] + tensors["b_dec"]


def by_dictionary_learning(folder):
    """The rule of its JumpReluAutoEncoder: b_dec added, not subtracted."""
    tensors = torch.load(folder / "dictionary_learning/ae.pt", weights_only=True)
    trainer = json.loads((folder / "dictionary_learning/config.json").read_text())["trainer"]
    assert trainer["dict_class"] == "JumpReluAutoEncoder"
    assert tensors["W_enc"].shape == (trainer["activation_dim"], trainer["dict_size"])

    def encode(a):
        codes = torch.relu(a @ tensors["W_enc"] + tensors["b_enc"])
        return codes * (codes > tensors["threshold"])

    return encode, lambda codes: codes @ tensors["W_dec"] + tensors["b_dec"]


@pytest.mark.parametrize("rule", [by_sae_lens, by_dictionary_learning])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.family)
def test_other_layouts_take_raw_activations(tmp_path, spec, rule):
    model = random_model(spec)
    write_ours(tmp_path / "ours", spec, model)
    encode, decode = rule(export_sae(tmp_path / "ours", tmp_path / "out"))
    activations = 3 * torch.randn(500, WIDTH, generator=torch.Generator().manual_seed(1))
    codes = model.encode(model.normalise(activations))
    assert 0 < (codes > 0).float().mean() < 1
    assert torch.equal(encode(activations) > 0, codes > 0)
    torch.testing.assert_close(encode(activations), codes, rtol=1e-5, atol=1e-5)
    expected = model.denormalise(model.decode(codes))
    torch.testing.assert_close(decode(encode(activations)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", ["sae_lens", "dictionary_learning"])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.family)
def test_other_layouts_come_back(tmp_path, spec, layout):
    model = random_model(spec)
    write_ours(tmp_path / "ours", spec, model)
    folder = export_sae(tmp_path / "ours", tmp_path / "out") / layout
    said = Reading(SaeSpec("jumprelu", 3, 4))
    found = read_foreign(folder, said, layer=3)
    assert found.source["library"] == layout
    activations = 3 * torch.randn(500, WIDTH, generator=torch.Generator().manual_seed(1))
    codes = model.encode(model.normalise(activations))
    again = found.model.encode(found.model.normalise(activations))
    torch.testing.assert_close(again, codes, rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match=r"block 3.*block 4"):
        read_foreign(folder, said, layer=4)


def test_rules_that_are_no_threshold_are_not_exported(tmp_path):
    model = random_model(SPECS[1])
    model.activation, model.k = "topk", 4
    write_ours(tmp_path / "ours", SPECS[1], model)
    with pytest.raises(UserError, match=r"topk.*imported from"):
        export_sae(tmp_path / "ours", tmp_path / "out")
