"""Folders as other libraries wrote them: codes are those that the library itself computed."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from cache_fixtures import write_cache
from checkpoint_fixtures import (
    ALL,
    BATCHES,
    CHECKPOINTS,
    READ,
    REFUSED,
    UNMEASURED,
    computed,
    facts,
    reading,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from visae.activations.cache import ActivationCache
from visae.base.errors import UserError
from visae.encoding.encoders import DenseEncoder, SparseEncoder, Targets
from visae.sae.checkpoint import load_sae, save_sae
from visae.sae.exchange.foreign import inspect, read_foreign
from visae.sae.exchange.importing import import_sae
from visae.sae.exchange.libraries import LIBRARIES
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.threshold import LargestValues


def as_computed(name):
    """The model of a checkpoint, with the batch's threshold where codes depend on the batch."""
    model, budget, _ = read_foreign(CHECKPOINTS / name, reading(name))
    if name in BATCHES:
        inputs, _, _ = computed(name)
        largest = LargestValues(budget * len(inputs))
        largest.add(model.encode(model.normalise(inputs)))
        model.threshold = torch.tensor(largest.threshold(len(inputs)).value)
    else:
        assert (budget is not None) == (name in UNMEASURED)
    return model


def assert_close_rows(found, expected, tolerance=1e-5):
    """Each row within a relative tolerance of its norm."""
    errors = (found - expected).norm(dim=1)
    assert (errors <= tolerance * expected.norm(dim=1) + 1e-9).all(), errors.max()


def test_every_library_of_the_shelf_is_tested():
    of = {"openai_sparse_autoencoder": "openai"}
    tested = {of.get(name.split("/")[0], name.split("/")[0]) for name in ALL}
    assert tested | {"visaebench"} == set(LIBRARIES)
    assert len(ALL) == 64
    assert len(READ) == 56


@pytest.mark.parametrize("name", READ)
def test_codes_and_reconstructions_are_the_librarys(name):
    model = as_computed(name)
    inputs, codes, reconstruction = computed(name)
    found = model.encode(model.normalise(inputs))
    assert torch.equal(found != 0, codes != 0)
    assert_close_rows(found, codes)
    assert_close_rows(model.denormalise(model.decode(found), inputs), reconstruction)
    assert (found < 0).sum() == facts(name)["negative_codes"]
    assert model.signed == bool(facts(name)["negative_codes"])


@pytest.mark.parametrize("name", READ)
def test_what_is_saved_and_loaded_computes_the_same(tmp_path, name):
    model = as_computed(name)
    config = {"name": "topk_4x_k8", "input_dim": model.width, "hidden_dim": model.features}
    save_sae(tmp_path, model, config, [])
    again = load_sae(tmp_path)
    inputs, _, _ = computed(name)
    x = model.normalise(inputs)
    assert torch.equal(again.model.normalise(inputs), x)
    assert torch.equal(again.model.encode(x), model.encode(x))
    save_sae(tmp_path / "threshold", replace(model, activation="threshold", k=None), config, [])
    other = load_sae(tmp_path / "threshold")
    assert (other.fingerprint == again.fingerprint) == (model.activation == "threshold")


@pytest.mark.parametrize("name", READ)
def test_own_folders_are_read_as_they_were_saved(tmp_path, name):
    model = as_computed(name)
    said = reading(name).spec
    config = {
        "name": said.name,
        "activation": said.family,
        "k": said.k,
        "input_dim": model.width,
        "hidden_dim": model.features,
    }
    save_sae(tmp_path, model, config, [])
    again = read_foreign(tmp_path, reading(name, input=None, threshold=None)).model
    for field, tensor in model.tensors().items():
        assert torch.equal(getattr(again, field), tensor), field
    assert again.inference == model.inference


@pytest.mark.parametrize("name", [name for name in READ if facts(name)["n"] >= 18])
@pytest.mark.parametrize("encoder_type", [SparseEncoder, DenseEncoder])
def test_both_encoders_reduce_the_librarys_codes(name, encoder_type):
    model = as_computed(name)
    activations, codes, reconstruction = (rows[:18].unflatten(0, (3, 6)) for rows in computed(name))
    mean, std = torch.linspace(-1, 1, model.width), 2.0
    targets = None
    if model.input_normalisation != "none":

        def restored(found):
            return (model.denormalise(found, activations) - mean) / std

        targets = Targets((activations - mean) / std, restored)
    encoder = encoder_type(model, (2, 3), (1,), 1e-8)
    unit = encoder(model.normalise(activations).contiguous(), targets)
    magnitudes = codes.abs().amax(dim=1).numpy()
    np.testing.assert_allclose(unit.codes_max, magnitudes, rtol=2e-3, atol=1e-6)
    np.testing.assert_array_equal(unit.firing_count, (codes != 0).sum(dim=(0, 1)).numpy())
    if targets is None:
        mean, std = model.activation_mean, model.activation_std
    error = float((((activations - reconstruction) / std).double() ** 2).sum())
    assert unit.squared_error == pytest.approx(error, rel=1e-4)
    maxima = ((reconstruction - mean) / std).amax(dim=1).numpy()
    np.testing.assert_allclose(unit.reconstructions_max, maxima, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name, words",
    [
        ("msae/relu", "MSAE.*tanh"),
        ("msae/topk", "MSAE.*tanh"),
        ("msae/jumprelu", "MSAE.*tanh"),
        ("overcomplete/matching_pursuit", "matching pursuit"),
        ("overcomplete/topk_mlp_ln_1", r"final_block\.1\.bias.*linear"),
        ("sparsify/topk_skip", "skip connection"),
        ("sparsify/transcoder", "transcoder"),
        ("sparsify/transcoder_skip", "transcoder"),
    ],
)
def test_what_no_linear_encoder_expresses_is_refused_by_name(name, words):
    assert name in REFUSED
    with pytest.raises(UserError, match=words):
        read_foreign(CHECKPOINTS / name, reading(name, input="raw"))


# ---------------------------------------------------------------- what a file leaves open


@pytest.mark.parametrize(
    "name",
    [
        "overcomplete/relu",
        "saev/relu",
        "saev/relu_legacy",
        "sae_lens/standard_expected_average_only_in",
    ],
)
def test_how_the_input_was_normalised_has_to_be_said(name):
    with pytest.raises(UserError, match=r"reading\.input"):
        read_foreign(CHECKPOINTS / name, reading(name, input=None))


@pytest.mark.parametrize("kind", ["training_cache", "file"])
def test_constants_before_the_sae_are_folded_in(tmp_path, kind):
    name = "saev/relu_legacy"
    mean, std = torch.linspace(-3, 5, 24), torch.tensor(2.5)
    save_file({"activation_mean": mean, "activation_std": std}, tmp_path / "scale.safetensors")
    chosen = "training_cache" if kind == "training_cache" else str(tmp_path / "scale.safetensors")
    given = (mean, std) if kind == "training_cache" else None
    model, _, source = read_foreign(CHECKPOINTS / name, reading(name, input=chosen), given)
    assert source["input"] == chosen
    inputs, codes, reconstruction = computed(name)
    activations = inputs * std + mean
    found = model.encode(model.normalise(activations))
    assert_close_rows(found, codes)
    decoded = model.denormalise(model.decode(found))
    assert_close_rows(decoded, reconstruction * std + mean)


def test_constants_do_not_go_before_layer_norm(tmp_path):
    name = "sae_lens/jumprelu_layer_norm"
    with pytest.raises(UserError, match=r"layer_norm.*training_cache"):
        read_foreign(CHECKPOINTS / name, reading(name, input="training_cache"))
    with pytest.raises(UserError, match="is no file"):
        read_foreign(CHECKPOINTS / "saev/relu", reading("saev/relu", input=str(tmp_path / "none")))


@pytest.mark.parametrize("name", [*UNMEASURED, *BATCHES, "sparsify/topk", "sae_lens/jumprelu"])
def test_whose_threshold_it_is_is_said(name):
    _, budget, source = read_foreign(CHECKPOINTS / name, reading(name))
    expected = {"sparsify/topk": "none", "sae_lens/jumprelu": "folder"}.get(name, "measured")
    assert source["threshold"] == expected
    assert budget == (8 if expected == "measured" else None)


def test_a_threshold_of_the_sweep_does_not_replace_one_of_the_files():
    with pytest.raises(UserError, match=r"state thresholds.*reading\.threshold"):
        read_foreign(CHECKPOINTS / "sae_lens/batchtopk", reading("sae_lens/batchtopk", threshold=1))


@pytest.mark.parametrize(
    "section, words",
    [
        ({}, r"ln2\.hook_normalized.*hook_point"),
        ({"hook_point": "residual"}, "'residual'.*block_output"),
        ({"tokens": "all"}, "'all'.*patches"),
        ({"threshold": "auto"}, "'auto'.*measured"),
        ({"library": "saelens"}, "'saelens'.*sae_lens"),
    ],
)
def test_another_hook_point_or_an_unknown_key_is_refused(section, words):
    name = "vit_prisma/standard_relu"
    with pytest.raises(UserError, match=words):
        read_foreign(CHECKPOINTS / name, reading(name, **{"hook_point": None} | section))


def changed_config(tmp_path, name, file, **changes):
    """A copy of a checkpoint with another config; None takes a key out."""
    folder = shutil.copytree(CHECKPOINTS / name, tmp_path / "copy")
    config = json.loads((folder / file).read_text()) | changes
    config = {key: value for key, value in config.items() if value is not None}
    (folder / file).write_text(json.dumps(config))
    return folder


def test_a_hook_point_is_the_studys_or_refused(tmp_path):
    name = "batchtopk_repo/vanilla"
    read_foreign(CHECKPOINTS / name, reading(name), layer=11)
    with pytest.raises(UserError, match=r"block 11.*block 9"):
        read_foreign(CHECKPOINTS / name, reading(name), layer=9)
    folder = changed_config(tmp_path, name, "config.json", site="resid_pre", layer=10)
    read_foreign(folder, reading(name), layer=9)
    with pytest.raises(UserError, match=r"block 9.*block 10"):
        read_foreign(folder, reading(name), layer=10)


@pytest.mark.parametrize("point", ["attn_out", "mlp_out", "hook_z", "ln2.hook_normalized"])
def test_parts_of_a_block_are_refused(tmp_path, point):
    name = "batchtopk_repo/vanilla"
    folder = changed_config(tmp_path, name, "config.json", site=point)
    with pytest.raises(UserError, match=rf"{point}.*block"):
        read_foreign(folder, reading(name))
    read_foreign(folder, reading(name, hook_point="block_output"))


def test_class_tokens_are_refused_or_noted(tmp_path):
    name = "vit_prisma/standard_relu_state_dict"
    _, _, source = read_foreign(CHECKPOINTS / name, reading(name))
    assert "class token" in source["notes"][0]
    folder = changed_config(tmp_path, name, "config.json", cls_token_only=True)
    with pytest.raises(UserError, match=r"class tokens only.*reading\.tokens"):
        read_foreign(folder, reading(name))
    read_foreign(folder, reading(name, tokens="patches"))


def test_layer_norm_is_the_default_of_vit_prisma(tmp_path):
    name = "vit_prisma/standard_relu_state_dict"
    folder = changed_config(tmp_path, name, "config.json", normalize_activations=None)
    assert read_foreign(folder, reading(name)).model.input_normalisation == "layer_norm"


def test_old_configs_of_sae_lens_say_topk_elsewhere(tmp_path):
    name = "sae_lens/topk_plain"
    folder = changed_config(
        tmp_path,
        name,
        "cfg.json",
        architecture=None,
        k=None,
        activation_fn_str="topk",
        activation_fn_kwargs={"k": 8},
        normalize_activations=False,
    )
    model = read_foreign(folder, reading(name)).model
    inputs, codes, _ = computed(name)
    assert_close_rows(model.encode(model.normalise(inputs)), codes)


# ---------------------------------------------------------------- recognition


@pytest.mark.parametrize("name", ALL)
def test_one_library_recognises_each_folder(name):
    from visae.sae.exchange.folder import Folder

    entries = LIBRARIES.entries()
    classes = [c for entry in entries.values() for c in entry.config_classes]
    folder = Folder(CHECKPOINTS / name, classes)
    found = [name for name in entries if LIBRARIES.module(name, "read").recognises(folder)]
    library = name.split("/")[0]
    assert found == [{"openai_sparse_autoencoder": "openai"}.get(library, library)]


@pytest.mark.parametrize("config", [None, {}, {"dict_size": 96}])
def test_a_folder_of_no_known_library_is_refused(tmp_path, config):
    folder = shutil.copytree(CHECKPOINTS / "sae_lens/standard", tmp_path / "copy")
    (folder / "cfg.json").unlink()
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"no library.*W_dec, W_enc.*reading\.library"):
        read_foreign(folder, reading("sae_lens/standard"))


def test_a_folder_of_two_libraries_is_refused_until_one_is_named(tmp_path):
    name = "batchtopk_repo/vanilla"
    folder = changed_config(
        tmp_path, name, "config.json", d_in=24, d_sae=96, architecture="standard"
    )
    with pytest.raises(UserError, match=r"batchtopk_repo and sae_lens"):
        read_foreign(folder, reading(name))
    named = read_foreign(folder, reading(name, library="batchtopk_repo"))
    assert named.model.input_normalisation == "layer_norm"
    other = read_foreign(folder, reading(name, library="sae_lens"))
    assert other.model.input_normalisation == "none"


# ---------------------------------------------------------------- bad input


def rewritten(tmp_path, name, change):
    """A copy of a checkpoint in safetensors or a pickle with changed tensors."""
    folder = shutil.copytree(CHECKPOINTS / name, tmp_path / "copy", dirs_exist_ok=True)
    [path] = [p for p in folder.iterdir() if p.suffix in (".pt", ".safetensors")]
    safe = path.suffix == ".safetensors"
    tensors = load_file(path) if safe else torch.load(path, weights_only=True)
    tensors = {k: v for k, v in change(dict(tensors)).items() if v is not None}
    if safe:
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return folder


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("sae_lens/jumprelu", {"threshold": None}, "lacks threshold"),
        ("sae_lens/jumprelu", {"threshold": torch.ones(95)}, r"threshold.*\[95\].*\[96, 24\]"),
        ("sae_lens/jumprelu", {"threshold": torch.full((96,), float("nan"))}, "threshold.*NaN"),
        ("sae_lens/jumprelu", {"b_dec": torch.ones(23)}, r"pre_bias.*\[23\]"),
        ("sae_lens/jumprelu", {"W_dec": torch.ones(24, 96)}, r"decoder.*\[24, 96\]"),
        ("sae_lens/jumprelu", {"W_enc": torch.ones(96, 24)}, r"\[24, 96\]"),
        ("sae_lens/jumprelu", {"W_enc": torch.ones(24)}, r"\[24\].*no matrix"),
        ("sae_lens/jumprelu", {"scaling_factor": torch.ones(96)}, "scaling_factor.*rule"),
        ("sae_lens/gated", {"r_mag": None}, "lacks r_mag"),
        ("dictionary_learning/topk", {"k": torch.tensor(9)}, "K 8.*9.*correct one"),
        ("dictionary_learning/standard", {"encoder.bias": torch.zeros(0)}, "do not fit each other"),
        ("sparsify/topk", {"W_skip": torch.zeros(24, 24)}, "skip"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, name, change, words):
    folder = rewritten(tmp_path, name, lambda tensors: tensors | change)
    with pytest.raises(UserError, match=words):
        read_foreign(folder, reading(name))


@pytest.mark.parametrize(
    "name, file, changes, words",
    [
        ("sae_lens/jumprelu", "cfg.json", {"d_sae": 97}, r"\[96, 24\].*97"),
        ("sae_lens/jumprelu", "cfg.json", {"d_in": 25}, r"\[96, 24\].*25"),
        ("sae_lens/jumprelu", "cfg.json", {"d_in": "wide"}, "d_in 'wide'"),
        ("sae_lens/jumprelu", "cfg.json", {"architecture": "topk", "k": 8}, "threshold.*rule"),
        ("sae_lens/jumprelu", "cfg.json", {"architecture": "transcoder"}, "'transcoder'"),
        ("sae_lens/jumprelu", "cfg.json", {"normalize_activations": "whiten"}, "'whiten'"),
        ("sae_lens/jumprelu", "cfg.json", {"reshape_activations": "hook_z"}, "hook_z"),
        ("sae_lens/topk_plain", "cfg.json", {"k": 9}, "k 9"),
        ("sae_lens/topk_plain", "cfg.json", {"k": 7.5}, "k 7.5"),
        ("sparsify/groupmax", "cfg.json", {"activation": "relu"}, "activation relu"),
        ("sparsify/topk", "cfg.json", {"num_latents": 48}, r"\[96, 24\].*48"),
        ("batchtopk_repo/topk", "config.json", {"sae_type": "gated"}, "'gated'"),
        ("batchtopk_repo/topk", "config.json", {"top_k": None}, "top_k"),
        (
            "vit_prisma/standard_relu_state_dict",
            "config.json",
            {"is_transcoder": True},
            "transcoder",
        ),
        ("vit_prisma/standard_relu_state_dict", "config.json", {"d_in": 48}, "192"),
    ],
)
def test_a_config_that_contradicts_the_tensors_is_refused(tmp_path, name, file, changes, words):
    with pytest.raises(UserError, match=words):
        read_foreign(changed_config(tmp_path, name, file, **changes), reading(name))


def test_groups_have_to_be_of_one_size(tmp_path):
    name = "sparsify/groupmax"
    folder = changed_config(tmp_path, name, "cfg.json", k=7)
    said = replace(reading(name), spec=SaeSpec("topk", 4, 7))
    with pytest.raises(UserError, match="96 features and K 7"):
        read_foreign(folder, said)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(READ), st.floats(0, 1, exclude_max=True))
def test_truncated_files_are_refused(tmp_path_factory, name, share):
    folder = tmp_path_factory.mktemp("cut") / "copy"
    shutil.copytree(CHECKPOINTS / name, folder)
    [path] = [p for p in folder.iterdir() if p.suffix in (".pt", ".safetensors")]
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=path.name):
        read_foreign(folder, reading(name))


@pytest.mark.parametrize("name", ["sae_lens/jumprelu", "dictionary_learning/topk", "saev/topk"])
def test_a_folder_without_its_files_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no file for the weights"):
        read_foreign(tmp_path / "empty", reading(name))


def test_classes_of_other_libraries_are_never_imported(tmp_path):
    """A pickle names a class of a library that is not there: it is named, and nothing is run."""
    folder = tmp_path / "copy"
    folder.mkdir()
    source = CHECKPOINTS / "vit_prisma/standard_relu/weights.pt"
    content = source.read_bytes().replace(b"vit_prisma.sae.config", b"my_lovely.sae.configs"[:21])
    (folder / "weights.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.pt.*(any code|truncated|CRC-32)"):
        read_foreign(folder, reading("vit_prisma/standard_relu"))


# ---------------------------------------------------------------- imported


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    folder = tmp_path_factory.mktemp("caches")
    generator = np.random.default_rng(0)
    paths = []
    for split in ("train", "val"):
        activations = generator.normal(0.3, 1.2, (12, 12, 24)).astype(np.float16)
        paths.append(write_cache(folder / split, activations, split=split))
    with ActivationCache(paths[0]) as cache, ActivationCache(paths[1]) as held_out:
        yield cache, held_out


@pytest.mark.parametrize("name", READ)
def test_every_checkpoint_is_imported(tmp_path, caches, name):
    cache, held_out = caches
    said = reading(name, hook_point="block_output")
    import_sae(CHECKPOINTS / name, tmp_path, said, cache, held_out, TrainingSettings())
    saved = load_sae(tmp_path)
    assert saved.spec == said.spec
    source, l0 = saved.config["source"], saved.config["held_out"]["l0"]
    if source["threshold"] == "measured":
        assert l0 == pytest.approx(8, rel=0.02)
    tokens = torch.from_numpy(
        np.concatenate([held_out.read_chunk(n) for n in range(len(held_out.chunks))])
    )
    codes = saved.model.encode(saved.model.normalise(tokens.reshape(-1, 24)))
    assert float(codes.count_nonzero()) / len(codes) == pytest.approx(l0)
    inspected = inspect(CHECKPOINTS / name, said, cache.info.layer)
    assert inspected.items() >= source.items()
