"""SAE folders: written, read, and refused when something does not fit."""

import pickle
import shutil

import pytest
import torch
import yaml
from cache_fixtures import cache_info
from safetensors.torch import load_file

from visae.activations.format import ACTIVATIONS
from visae.base.errors import UserError
from visae.base.seals import write_tensors
from visae.sae.checkpoint import check_fits, load_sae, save_sae
from visae.sae.folder import FORMAT, read_config, read_log
from visae.sae.model import SparseAutoencoder

LOG = [{"step": 2, "tokens": 20, "loss": 0.5, "l0": 3.0, "dead_fraction": 0.25}]


def saved_folder(folder, threshold=0.25, width=5, features=15):
    generator = torch.Generator().manual_seed(0)
    model = SparseAutoencoder(
        torch.randn(features, width, generator=generator),
        torch.randn(features, generator=generator),
        torch.nn.functional.normalize(torch.randn(features, width, generator=generator), dim=1),
        torch.tensor(threshold),
        torch.randn(width, generator=generator),
        torch.tensor(1.5),
    )
    info = cache_info(width=width)
    config = {
        "name": "batchtopk_3x_k3",
        "activation": "batchtopk",
        "k": 3,
        "sparsity": 3,
        "expansion_factor": features // width,
        "input_dim": width,
        "hidden_dim": features,
        "data": {name: getattr(info, name) for name in ACTIVATIONS} | {"grid": list(info.grid)},
    }
    save_sae(folder, model, config, LOG)
    return model


@pytest.mark.parametrize("threshold", [0.25, [0.1] * 15])
def test_what_is_saved_is_read_back(tmp_path, threshold):
    model = saved_folder(tmp_path / "sae", threshold)
    saved = load_sae(tmp_path / "sae")
    for name, tensor in model.tensors().items():
        assert torch.equal(getattr(saved.model, name), tensor), name
    assert saved.spec.name == "batchtopk_3x_k3"
    assert saved.config["format"] == "visae-sae-3"
    check_fits(saved, cache_info(split="val"), tmp_path)
    names = set(load_file(tmp_path / "sae" / "model.safetensors"))
    assert ("jump_thresholds" in names) == (model.threshold.ndim == 1)
    assert ("_running_threshold" in names) == (model.threshold.ndim == 0)
    assert sorted(p.name for p in (tmp_path / "sae").iterdir()) == [
        "config.yaml",
        "model.safetensors",
        "training.jsonl",
    ]


def test_the_fingerprint_is_of_the_weights(tmp_path):
    saved_folder(tmp_path / "a")
    saved_folder(tmp_path / "b")
    saved_folder(tmp_path / "c", threshold=0.26)
    a, b, c = (load_sae(tmp_path / name).fingerprint for name in "abc")
    assert a == b != c


def edit(path, **changes):
    tensors = load_file(path)
    for name, change in changes.items():
        name = name.replace("__", ".")
        if change is None:
            del tensors[name]
        else:
            tensors[name] = change(tensors[name])
    texts = {name: path.with_name(name).read_text() for name in ("config.yaml", "training.jsonl")}
    write_tensors(path, FORMAT, tensors, beside=texts)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"decoder__weight": lambda w: w[:-1].clone()}, r"decoder\.weight.*\[14, 5\].*fit"),
        ({"activation_mean": lambda m: m[:4].clone()}, r"activation_mean.*\[4\]"),
        ({"encoder__bias": lambda b: b / 0}, "encoder.bias.*NaN"),
        ({"_running_threshold": None}, "lacks.*_running_threshold"),
        ({"encoder__weight": None}, r"lacks encoder\.weight"),
        ({"_running_threshold": lambda t: t.repeat(15)}, "_running_threshold"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, changes, words):
    saved_folder(tmp_path)
    edit(tmp_path / "model.safetensors", **changes)
    with pytest.raises(UserError, match=words):
        load_sae(tmp_path)


def test_a_config_of_another_size_is_refused(tmp_path):
    saved_folder(tmp_path)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config | {"hidden_dim": 99}))
    edit(tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"15 features.*99"):
        load_sae(tmp_path)


def test_a_changed_or_exchanged_part_is_refused(tmp_path):
    saved_folder(tmp_path)
    config, log = tmp_path / "config.yaml", tmp_path / "training.jsonl"
    weights = tmp_path / "model.safetensors"
    for path, old, new, read in (
        (config, "name: batchtopk", "name: topk", lambda: load_sae(tmp_path)),
        (config, "name: batchtopk", "name: topk", lambda: read_config(config)),
        (log, "0.5", "0.4", lambda: read_log(log)),
    ):
        text = path.read_text()
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(UserError, match=f"{path.name} .*not what was written together"):
            read()
        path.write_text(text)
        read()
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match=r"safetensors has changed"):
        load_sae(tmp_path)


def test_an_sae_of_another_place_is_refused_and_one_taken_out_is_not(tmp_path):
    one, other = (tmp_path / f"saes/{place}/layer11/batchtopk_3x_k3" for place in ("clip", "mae"))
    saved_folder(one)
    assert load_sae(one)
    shutil.copytree(one, other)
    with pytest.raises(UserError, match=r"mae.* is a copy of 'saes/clip/layer11/.*elsewhere"):
        load_sae(other)
    shutil.copytree(one, tmp_path / "mine")
    assert load_sae(tmp_path / "mine")


@pytest.mark.parametrize(
    "name, content",
    [
        ("model.safetensors", None),
        ("model.safetensors", b"\x10"),
        ("model.safetensors", pickle.dumps({"encoder.weight": 1})),
        ("config.yaml", None),
        ("config.yaml", b"format: other"),
        ("config.yaml", b"a: [1"),
    ],
)
def test_missing_and_damaged_files_are_refused(tmp_path, name, content):
    saved_folder(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        load_sae(tmp_path)


def test_truncated_weights_are_refused(tmp_path):
    saved_folder(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="truncated"):
        load_sae(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 6},
        {"backbone": "mae"},
        {"layer": 4},
        {"token_order": "permuted"},
        {"grid": (6, 2)},
        {"preprocessing": {"resize": 256}},
        {"weights_fingerprint": "other"},
        {"model": "other"},
    ],
)
def test_a_cache_of_other_activations_is_refused(tmp_path, changes):
    saved_folder(tmp_path)
    name = next(iter(changes))
    with pytest.raises(UserError, match=f"with {name}"):
        check_fits(load_sae(tmp_path), cache_info(**{"width": 5} | changes), tmp_path)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_log_of_no_numbers_is_not_written(tmp_path, monkeypatch, loss):
    monkeypatch.setitem(LOG[0], "loss", loss)
    with pytest.raises(ValueError, match="JSON compliant"):
        saved_folder(tmp_path / "sae")
