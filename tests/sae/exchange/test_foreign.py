"""SAEs of someone else's: both styles of names, and everything that is refused."""

import io
import json
import os
import pickle
from pathlib import Path

import matplotlib
import pytest
import torch
import yaml
from cache_fixtures import write_cache
from sae_fixtures import dictionary, mixture_activations, sparse_mixtures
from safetensors.torch import save_file

from visae.activations.cache import ActivationCache
from visae.base.errors import UserError
from visae.sae.checkpoint import check_fits, load_sae, save_sae
from visae.sae.exchange.foreign import read_foreign
from visae.sae.exchange.form import Reading
from visae.sae.exchange.importing import import_sae
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.threshold import measure_thresholds

WIDTH, FEATURES = 8, 24
SPEC, JUMP = SaeSpec("batchtopk", 3, 4), SaeSpec("jumprelu", 3, 4)
STATISTICS = (torch.linspace(-1, 1, WIDTH), torch.tensor(1.5))
CONFIG = {"activation": "batchtopk", "k": 4, "threshold": 0.25}


def plain_tensors(threshold=None, features=FEATURES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        "encoder.weight": torch.randn(features, WIDTH, generator=generator),
        "encoder.bias": torch.randn(features, generator=generator),
        "decoder.weight": dictionary(features, WIDTH, seed=1),
    }
    return tensors if threshold is None else tensors | {"_running_threshold": threshold}


def write_folder(folder, tensors, config, weights="sae.pt", config_name="config.json"):
    folder.mkdir(parents=True, exist_ok=True)
    if weights.endswith(".safetensors"):
        save_file(tensors, folder / weights)
    else:
        torch.save(tensors, folder / weights)
    text = json.dumps(config) if config_name.endswith(".json") else yaml.safe_dump(config)
    (folder / config_name).write_text(text)
    return folder


def tokens(count=64, seed=3):
    return sparse_mixtures(count, dictionary(FEATURES, WIDTH), 3, seed)


@pytest.fixture
def overcomplete(monkeypatch):
    # overcomplete 0.3.0 asks matplotlib for a function that has gone.
    monkeypatch.setattr(matplotlib.cm, "get_cmap", matplotlib.colormaps.get_cmap, raising=False)
    return pytest.importorskip("overcomplete.sae")


@pytest.mark.parametrize("weights", ["sae.pt", "model.safetensors", "model.pt"])
@pytest.mark.parametrize("config_name", ["config.json", "config.yaml", "config.yml"])
def test_the_published_layout_is_read(tmp_path, weights, config_name):
    tensors = plain_tensors()
    write_folder(tmp_path, tensors, CONFIG, weights, config_name)
    sae = read_foreign(tmp_path, Reading(SPEC), STATISTICS)
    assert sae.budget is None
    assert sae.source["weights"] == weights
    x = tokens()
    pre = torch.relu(x @ tensors["encoder.weight"].T + tensors["encoder.bias"])
    codes = pre * (pre >= 0.25)
    assert 0 < (codes > 0).float().mean() < (pre > 0).float().mean()
    torch.testing.assert_close(sae.model.encode(x), codes)
    torch.testing.assert_close(sae.model.decode(codes), codes @ tensors["decoder.weight"])
    torch.testing.assert_close(sae.model.normalise(x), (x - STATISTICS[0]) / 1.5)


@pytest.mark.parametrize("multiplier", [None, 0.3])
def test_codes_and_reconstructions_are_those_of_overcomplete(tmp_path, overcomplete, multiplier):
    torch.manual_seed(0)
    sae = overcomplete.BatchTopKSAE(
        WIDTH, FEATURES, 64 * 4, dictionary_params={"use_multiplier": multiplier is not None}
    )
    optimiser = torch.optim.Adam(sae.parameters(), lr=1e-2)
    for step in range(5):
        optimiser.zero_grad()
        (sae(x := tokens(seed=step))[2] - x).square().mean().backward()
        optimiser.step()
    if multiplier is not None:
        sae.dictionary.multiplier.data.fill_(multiplier)
    rows = sae.dictionary._weights.norm(dim=1)
    assert (rows - 1).abs().max() > 1e-3  # the last step has left the unit sphere
    # The running threshold is a plain attribute, which no state dict holds.
    state = sae.state_dict() | {"_running_threshold": sae.running_threshold}
    config = {"architecture": "batchtopk", "d_model": WIDTH, "dict_size": FEATURES, "k": 4}
    write_folder(tmp_path, {k: v.detach().clone() for k, v in state.items()}, config)
    sae.eval()
    with torch.no_grad():
        _, codes, reconstructed = sae(x := tokens(seed=9))
    model = read_foreign(tmp_path, Reading(SPEC), STATISTICS).model
    assert torch.equal(model.encode(x) > 0, codes > 0)
    torch.testing.assert_close(model.encode(x), codes)
    torch.testing.assert_close(model.decode(codes), reconstructed)


def test_thresholds_of_overcomplete_are_logarithms(tmp_path, overcomplete):
    torch.manual_seed(0)
    sae = overcomplete.JumpSAE(WIDTH, FEATURES)
    sae.thresholds.data.uniform_(-3, 0.5)
    sae(tokens())  # training mode normalises the dictionary in place
    write_folder(tmp_path, sae.state_dict(), {"architecture": "jumprelu"})
    sae.eval()
    with torch.no_grad():
        pre, codes, reconstructed = sae(x := tokens(seed=9))
    model = read_foreign(tmp_path, Reading(JUMP), STATISTICS).model
    assert 0 < (codes > 0).sum() < (pre > 0).sum()
    assert torch.equal(model.encode(x) > 0, codes > 0)
    torch.testing.assert_close(model.decode(model.encode(x)), reconstructed)


@pytest.mark.parametrize("names", ["plain", "overcomplete"])
@pytest.mark.parametrize("spec", [SPEC, JUMP], ids=lambda spec: spec.family)
def test_codes_and_reconstructions_are_those_of_visaebench(tmp_path, names, spec):
    hub = pytest.importorskip(
        "visaebench.hub", reason="the published package visaebench is not installed"
    )
    tensors = plain_tensors()
    if names == "overcomplete":
        # The package does not normalise the rows: it agrees as far as they are normal already.
        theirs = ("encoder.final_block.0.weight", "encoder.final_block.0.bias")
        tensors = dict(zip((*theirs, "dictionary._weights"), tensors.values(), strict=True))
        tensors["dictionary.multiplier"] = torch.tensor(0.3)
    if spec is JUMP:
        tensors["jump_thresholds"] = torch.linspace(0, 1, FEATURES)
    write_folder(tmp_path, tensors, CONFIG | {"activation": spec.family})
    theirs = hub.load_sae(str(tmp_path), device="cpu")
    model = read_foreign(tmp_path, Reading(spec), STATISTICS).model
    codes = theirs.encode(x := tokens())
    assert torch.equal(model.encode(x) > 0, codes > 0)
    torch.testing.assert_close(model.encode(x), codes)
    torch.testing.assert_close(model.decode(codes), theirs.decode(codes))


def test_plain_thresholds_are_thresholds_and_strict(tmp_path):
    tensors = plain_tensors() | {"jump_thresholds": torch.full((FEATURES,), 2.0)}
    tensors["encoder.weight"] = torch.eye(WIDTH).repeat(3, 1)
    tensors["encoder.bias"] = torch.zeros(FEATURES)
    write_folder(tmp_path, tensors, {"activation": "JumpReLU"})
    above = torch.tensor(2.0).nextafter(torch.tensor(3.0))
    x = torch.tensor([1.0, 2.0, 0.0, -5.0, 3.0, 0.0, 0.0, 2.5]) + torch.zeros(1, WIDTH)
    x[0, 2] = above
    codes = read_foreign(tmp_path, Reading(JUMP), STATISTICS).model.encode(x)
    expected = torch.tensor([0, 0, float(above), 0, 3.0, 0, 0, 2.5]).repeat(3)
    assert torch.equal(codes[0], expected)


@pytest.mark.parametrize(
    "name, values, log",
    [
        ("thresholds", [-3.0, 0.5], True),
        ("thresholds", [0.1, 0.5], False),
        ("jump_thresholds", [-3.0, 0.1], True),
    ],
)
def test_thresholds_that_may_be_logarithms_have_to_be_named(tmp_path, name, values, log):
    thresholds = torch.tensor(values).repeat(FEATURES // 2)
    write_folder(tmp_path, plain_tensors() | {name: thresholds}, {"activation": "jumprelu"})
    with pytest.raises(UserError, match=rf"{name}.*logarithms.*threshold_scale"):
        read_foreign(tmp_path, Reading(JUMP), STATISTICS)
    model = read_foreign(
        tmp_path, Reading(JUMP, threshold_scale="log" if log else "linear"), STATISTICS
    ).model
    torch.testing.assert_close(model.threshold, thresholds.exp() if log else thresholds)


def test_an_unknown_scale_of_thresholds_is_refused(tmp_path):
    write_folder(tmp_path, plain_tensors(), CONFIG)
    with pytest.raises(UserError, match=r"'log10'.*linear or log"):
        read_foreign(tmp_path, Reading(SPEC, threshold_scale="log10"), STATISTICS)


def test_jumprelu_without_thresholds_is_refused(tmp_path):
    write_folder(tmp_path, plain_tensors(), {"activation": "jumprelu"})
    with pytest.raises(UserError, match="neither of jump_thresholds and thresholds"):
        read_foreign(tmp_path, Reading(JUMP), STATISTICS)


def test_a_relu_sae_needs_no_threshold(tmp_path):
    write_folder(tmp_path, plain_tensors(), {"activation": "relu"})
    sae = read_foreign(tmp_path, Reading(SaeSpec("relu", 3, 0.001)), STATISTICS)
    assert sae.budget is None
    assert sae.model.threshold == 0


def test_a_transposed_decoder_is_turned(tmp_path):
    tensors = plain_tensors()
    write_folder(tmp_path / "a", tensors, CONFIG)
    turned = tensors | {"decoder.weight": tensors["decoder.weight"].T.contiguous()}
    write_folder(tmp_path / "b", turned, CONFIG)
    a, b = (read_foreign(tmp_path / name, Reading(SPEC), STATISTICS).model for name in "ab")
    assert torch.equal(a.decoder_weight, b.decoder_weight)


def test_a_square_decoder_is_features_by_width(tmp_path):
    tensors = plain_tensors(features=WIDTH)
    write_folder(tmp_path, tensors, CONFIG)
    model = read_foreign(tmp_path, Reading(SaeSpec("batchtopk", 1, 4)), STATISTICS).model
    assert torch.equal(model.decoder_weight, tensors["decoder.weight"])


def test_statistics_of_the_folder_come_first(tmp_path):
    own = {"activation_mean": torch.ones(WIDTH), "activation_std": torch.tensor(3.0)}
    write_folder(tmp_path / "weights", plain_tensors() | own, CONFIG)
    listed = {name: tensor.tolist() for name, tensor in own.items()}
    write_folder(tmp_path / "config", plain_tensors(), CONFIG | listed)
    for folder in ("weights", "config"):
        sae = read_foreign(tmp_path / folder, Reading(SPEC), STATISTICS)
        assert torch.equal(sae.model.activation_mean, own["activation_mean"])
        assert sae.model.activation_std == 3
        assert sae.source["input"] == "folder"


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def save_bare_pickle(value, path):
    Path(path).write_bytes(pickle.dumps(value, protocol=2))


@pytest.mark.parametrize("save", [torch.save, save_bare_pickle])
def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path, save):
    write_folder(tmp_path, plain_tensors(), CONFIG)
    planted = tmp_path / "planted"
    save(plain_tensors() | {"extra": Malicious(planted)}, tmp_path / "sae.pt")
    with pytest.raises(UserError, match="any code"):
        read_foreign(tmp_path, Reading(SPEC), STATISTICS)
    assert not planted.exists()
    content = (tmp_path / "sae.pt").read_bytes()
    if save is torch.save:
        torch.load(io.BytesIO(content), weights_only=False)
    else:
        pickle.loads(content)
    assert planted.exists()  # the trap does work


def test_a_whole_module_is_refused(tmp_path):
    write_folder(tmp_path, plain_tensors(), CONFIG)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "sae.pt")
    with pytest.raises(UserError, match="state_dict"):
        read_foreign(tmp_path, Reading(SPEC), STATISTICS)


@pytest.mark.parametrize("name", ["sae.pt", "model.safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 40, -200])
def test_truncated_weights_are_refused(tmp_path, name, keep):
    write_folder(tmp_path, plain_tensors(), CONFIG, name)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=name):
        read_foreign(tmp_path, Reading(SPEC), STATISTICS)


F, D = FEATURES, WIDTH


@pytest.mark.parametrize(
    "tensors, config, words",
    [
        ({"encoder.bias": None}, {}, r"lacks encoder\.bias"),
        ({"decoder.bias": torch.ones(D + 1)}, {}, r"decoder_bias.*\[9\]"),
        ({"pre_bias": torch.zeros(D)}, {}, "pre_bias"),
        ({"decoder.weight": torch.ones(F, D + 1)}, {}, r"decoder .*\[24, 9\]"),
        ({"encoder.weight": torch.ones(D, F)}, {}, r"\[8, 24\].*transpose"),
        ({"encoder.bias": torch.full((F,), float("nan"))}, {}, "NaN"),
        ({"_running_threshold": torch.tensor(0.5)}, {}, "0.5.*0.25.*wrong one"),
        ({"_running_threshold": torch.ones(F)}, {}, "not a number"),
        ({"activation_mean": torch.ones(D)}, {}, "activation_mean and activation_std"),
        ({}, {"activation_mean": [1.0] * 7, "activation_std": 1.0}, r"activation_mean.*\[7\]"),
        ({}, {"activation_mean": [0.0] * D, "activation_std": 0.0}, "positive"),
        ({}, {"activation_mean": "none", "activation_std": 1.0}, "not a list of numbers"),
        ({}, {"activation": "topk"}, "family 'topk'.*batchtopk_3x_k4"),
        ({}, {"k": 8}, "k 8"),
        ({}, {"family": "topk"}, "family 'topk'"),
        ({}, {"hidden_dim": 48}, "48.*features"),
        ({}, {"d_model": 9}, "9.*width"),
        ({}, {"threshold": "high"}, "not a number"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, tensors, config, words):
    changed = {k: v for k, v in (plain_tensors() | tensors).items() if v is not None}
    write_folder(tmp_path, changed, CONFIG | config)
    with pytest.raises(UserError, match=words):
        read_foreign(tmp_path, Reading(SPEC), STATISTICS)


def test_another_expansion_factor_is_refused(tmp_path):
    write_folder(tmp_path, plain_tensors(), {"threshold": 0.25})
    with pytest.raises(UserError, match=r"\[24, 8\].*32"):
        read_foreign(tmp_path, Reading(SaeSpec("batchtopk", 4, 4)), STATISTICS)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"encoder.final_block.1.weight": torch.ones(F)}, r"final_block\.1\.weight.*linear"),
        ({"dictionary.other": torch.ones(F)}, r"dictionary\.other.*rule"),
    ],
)
def test_other_overcomplete_models_are_refused(tmp_path, overcomplete, changes, words):
    state = overcomplete.BatchTopKSAE(D, F, 4).state_dict()
    state["dictionary._weights"] = dictionary(F, D)
    write_folder(tmp_path, state | changes, CONFIG)
    with pytest.raises(UserError, match=words):
        read_foreign(tmp_path, Reading(SPEC), STATISTICS)


@pytest.mark.parametrize("bias", [torch.zeros(D), torch.linspace(-1, 2, D)])
def test_a_decoder_bias_is_added_to_reconstructions(tmp_path, bias):
    tensors = plain_tensors()
    write_folder(tmp_path, tensors | {"decoder.bias": bias}, CONFIG)
    model = read_foreign(tmp_path, Reading(SPEC), STATISTICS).model
    activations = tokens() * STATISTICS[1] + STATISTICS[0]
    pre = torch.relu(tokens() @ tensors["encoder.weight"].T + tensors["encoder.bias"])
    codes = model.encode(model.normalise(activations))
    torch.testing.assert_close(codes, pre * (pre >= 0.25))
    expected = (codes @ tensors["decoder.weight"] + bias) * STATISTICS[1] + STATISTICS[0]
    torch.testing.assert_close(model.denormalise(model.decode(codes)), expected)


@pytest.mark.parametrize("extra", ["model.safetensors", "config.yaml"])
def test_two_files_for_one_purpose_are_refused(tmp_path, extra):
    write_folder(tmp_path, plain_tensors(), CONFIG)
    (tmp_path / extra).write_bytes(b"")
    with pytest.raises(UserError, match=rf"{extra}.*exactly one"):
        read_foreign(tmp_path, Reading(SPEC), STATISTICS)


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_damaged_config_is_refused(tmp_path, content):
    write_folder(tmp_path, plain_tensors(), CONFIG)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json"):
        read_foreign(tmp_path, Reading(SPEC), STATISTICS)


def test_statistics_are_needed(tmp_path):
    write_folder(tmp_path, plain_tensors(), CONFIG)
    with pytest.raises(UserError, match="statistics"):
        read_foreign(tmp_path, Reading(SPEC))


@pytest.fixture
def caches(tmp_path):
    paths = [
        write_cache(tmp_path / "cache", mixture_activations(12, 12, seed=seed), split=split)
        for seed, split in enumerate(["train", "val"])
    ]
    with ActivationCache(paths[0]) as cache, ActivationCache(paths[1]) as held_out:
        yield cache, held_out


SETTINGS = TrainingSettings(threshold_images=10)


def test_an_imported_sae_is_one_of_ours(tmp_path, caches):
    cache, held_out = caches
    source = write_folder(tmp_path / "theirs", plain_tensors(torch.tensor(0.5)), {})
    import_sae(source, tmp_path / "ours", Reading(SPEC), cache, held_out, SETTINGS)
    saved = load_sae(tmp_path / "ours")
    check_fits(saved, cache.info, tmp_path / "ours")
    assert saved.spec == SPEC
    assert saved.config["threshold"] == saved.model.threshold == 0.5
    assert saved.config["source"]["threshold"] == "folder"
    torch.testing.assert_close(saved.model.activation_mean.double(), torch.from_numpy(cache.mean))
    assert saved.model.activation_std == torch.tensor(cache.std).float()
    [measured] = measure_thresholds([saved.model], [None], held_out, 10)
    assert saved.config["held_out"]["l0"] == measured.l0


def test_topk_without_a_threshold_keeps_k_per_token_as_the_package_does(tmp_path, caches):
    source = write_folder(tmp_path / "theirs", plain_tensors(), {"activation": "topk", "k": 4})
    spec = SaeSpec("topk", 3, 4)
    import_sae(source, tmp_path / "ours", Reading(spec), *caches, SETTINGS)
    saved = load_sae(tmp_path / "ours")
    assert saved.config["source"]["threshold"] == "none"
    codes = saved.model.encode(tokens())
    assert (codes.count_nonzero(dim=1) <= 4).all()
    assert (codes.count_nonzero(dim=1) == 4).any()


@pytest.mark.parametrize("family", ["batchtopk"])
def test_a_threshold_that_is_not_stated_is_measured(tmp_path, caches, family):
    source = write_folder(tmp_path / "theirs", plain_tensors(), {"activation": family, "k": 4})
    import_sae(source, tmp_path / "ours", Reading(SaeSpec(family, 3, 4)), *caches, SETTINGS)
    saved = load_sae(tmp_path / "ours")
    assert saved.config["held_out"]["l0"] == pytest.approx(4, rel=0.01)
    assert saved.config["threshold"] == saved.model.threshold > 0
    assert saved.config["source"]["threshold"] == "measured"


def test_our_own_format_is_read_unchanged(tmp_path):
    tensors = plain_tensors() | {"jump_thresholds": torch.linspace(0.0, 1, FEATURES)}
    write_folder(tmp_path / "a", tensors, {"activation": "jumprelu"})
    model = read_foreign(tmp_path / "a", Reading(JUMP), STATISTICS).model
    save_sae(tmp_path / "b", model, {"name": JUMP.name}, [])
    again = read_foreign(tmp_path / "b", Reading(JUMP)).model
    for name, tensor in model.tensors().items():
        assert torch.equal(getattr(again, name), tensor), name


def test_a_cache_of_another_width_is_refused(tmp_path, caches):
    tensors = {
        "encoder.weight": torch.ones(12, 4),
        "encoder.bias": torch.ones(12),
        "decoder.weight": torch.ones(12, 4),
        "activation_mean": torch.ones(4),
        "activation_std": torch.tensor(1.0),
    }
    source = write_folder(tmp_path / "theirs", tensors, {})
    with pytest.raises(UserError, match=r"width 4.*width 8"):
        import_sae(source, tmp_path / "ours", Reading(SPEC), *caches, SETTINGS)
    assert not (tmp_path / "ours").exists()
