"""Equal weights give equal activations in each two libraries, once `implementation` is set."""

import itertools
import random
import re
import sys
from dataclasses import replace

import open_clip
import pytest
import timm
import torch
from open_clip.pretrained import get_pretrained_cfg
from safetensors.torch import save_file
from study_fixtures import paper_config
from timm.models import _registry

from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.catalogue import Catalogue
from visae.backbones.implementations import family_of, implementation, prepared
from visae.backbones.implementing import GELUS
from visae.backbones.loaders import LOADERS, Preparing
from visae.base.errors import UserError
from visae.base.repository import RESOURCES
from visae.study.study import Study

sys.path.insert(0, str(RESOURCES))
import compare_implementations as compare
from compare_implementations import KINDS, ZERO, Shape, apart

PAIRS = [
    (name, one, other)
    for name, kind in KINDS.items()
    for one, other in itertools.permutations(kind.models, 2)
]
# Small models of the libraries' own code: 81 positions, which are resampled to 25.
DEPTH, WIDTH, OWN, SMALLER = 2, 64, 9, 5


@pytest.fixture(scope="module", autouse=True)
def own_registry():
    """What the comparison registers with timm is no model for the tests of other files."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_model_entrypoints", "_model_to_module"):
            patch.setattr(_registry, name, dict(getattr(_registry, name)))
        yield


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function of kind and scale: loader → weights that are equal, as each library has them."""
    files = {}

    def write(name, scale=1.0):
        if (name, scale) not in files:
            kind, folder = KINDS[name], tmp_path_factory.mktemp(name)
            shape = Shape(DEPTH, WIDTH, OWN * kind.patch)
            tensors = compare.drawn(kind, shape)
            embeddings = ("patch_embed", "pos_embed", "cls_token")
            tensors = {
                n: t * (scale if n.startswith(embeddings) else 1) for n, t in tensors.items()
            }
            files[name, scale] = {
                loader: compare.write(kind, loader, shape, tensors, folder)
                for loader in kind.models
            }
        return files[name, scale]

    return write


@pytest.fixture(scope="module")
def tokens(written):
    """A function that reads patch tokens of the last block, from pixels or from a photograph."""
    kept, photograph = {}, compare.photograph()

    def read(name, loader, cells, what="pixels", chosen=None, scale=1.0):
        key = name, loader, cells, chosen, scale
        if key not in kept:
            kind = KINDS[name]
            shape, weights = Shape(DEPTH, WIDTH, OWN * kind.patch), written(name, scale)[loader]
            backbone = compare.built(kind, loader, shape, weights, cells * kind.patch, chosen)
            pixels = backbone.normalise(compare.square(photograph, cells * kind.patch))
            seen = torch.cat([pixels, backbone.preprocess(photograph)[None]])
            of_pixels, of_file = backbone.patch_tokens(seen, DEPTH - 1)
            kept[key] = {"pixels": of_pixels, "file": of_file}
        return kept[key][what]

    return read


@pytest.mark.parametrize("cells", [OWN, SMALLER])
@pytest.mark.parametrize("what", ["pixels", "file"])
@pytest.mark.parametrize("name, one, other", PAIRS)
def test_a_backbone_computes_what_the_other_library_computes(tokens, name, one, other, what, cells):
    theirs = tokens(name, other, cells, what)
    assert apart(tokens(name, one, cells, what, other), theirs) <= ZERO


@pytest.mark.parametrize("name, one, other", PAIRS)
def test_the_loaders_own_differ_where_the_setting_is_needed(tokens, name, one, other):
    found = apart(tokens(name, one, SMALLER), tokens(name, other, SMALLER))
    equal = name in ("dinov2_with_registers", "dinov3") or "transformers" not in (one, other)
    assert found <= ZERO if equal else found > 1e-2
    at_their_own = apart(tokens(name, one, OWN), tokens(name, other, OWN))
    if name.startswith("siglip") and not equal:
        assert 1e-4 < at_their_own < 1e-2  # the two GELUs
    else:
        assert at_their_own <= ZERO
    if (name, {one, other}) != ("clip", {"open_clip", "transformers"}) and (
        not name.startswith("siglip") or "timm" in (one, other)
    ):
        files = tokens(name, one, OWN, "file"), tokens(name, other, OWN, "file")
        assert apart(*files) > 0.1  # two fields of view


@pytest.mark.parametrize("cells", [16, 14, 21])
def test_naflex_needs_no_setting(tmp_path, cells):
    """SigLIP 2's NaFlex: timm and transformers resample the table of 16 × 16 alike."""
    kind = KINDS["siglip2"]
    shape = Shape(DEPTH, WIDTH, kind.native)
    drawn = compare.drawn(kind, shape)
    patches = drawn["patch_embed.proj.weight"].permute(0, 2, 3, 1).flatten(1)
    of_timm = compare.in_the_names_of("timm", kind, drawn)
    of_timm |= {
        "embeds.pos_embed": of_timm.pop("pos_embed").reshape(1, 16, 16, WIDTH),
        "embeds.proj.weight": patches,
        "embeds.proj.bias": of_timm.pop("patch_embed.proj.bias"),
    }
    del of_timm["patch_embed.proj.weight"]
    of_transformers = compare.in_the_names_of("transformers", kind, drawn)
    of_transformers["embeddings.patch_embedding.weight"] = patches
    options = compare.options_of("transformers", kind, shape)
    del options["image_size"]
    ways = (
        ("timm", "naflexvit_base_patch16_siglip.v2_webli", of_timm),
        ("transformers", "siglip2_vision_model", of_transformers),
    )
    seen = []
    for loader, model, tensors in ways:
        path = tmp_path / f"{loader}.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        own = compare.options_of("timm", kind, shape) if loader == "timm" else options
        backbone = build_backbone(
            BackboneSpec("b", loader, model, str(path), 16 * cells, options=own)
        )
        pixels = backbone.normalise(compare.square(compare.photograph(), 16 * cells))
        seen.append(backbone.patch_tokens(pixels, DEPTH - 1))
    assert apart(*seen) <= ZERO


@pytest.mark.parametrize("name", ["mae", "deit"])
@pytest.mark.parametrize("one, other", [("timm", "transformers"), ("transformers", "timm")])
def test_the_eps_of_norms_is_the_other_librarys(tokens, name, one, other):
    """Embeddings of a thousandth, whose variance is that of timm's 1e-6."""
    small = {"cells": OWN, "scale": 1e-3}
    theirs = tokens(name, other, **small)
    assert apart(tokens(name, one, **small), theirs) > 0.1
    assert apart(tokens(name, one, chosen=other, **small), theirs) <= ZERO


def test_a_chosen_implementation_is_noted_and_does_not_touch_the_weights(tokens, written):
    kind = KINDS["dinov2"]
    shape = Shape(DEPTH, WIDTH, OWN * kind.patch)
    built = [
        compare.built(kind, "transformers", shape, written("dinov2")["transformers"], 70, chosen)
        for chosen in (None, "transformers", "timm")
    ]
    assert built[0].weights_reading == built[1].weights_reading
    assert built[2].weights_reading.endswith(
        "computed as by timm: norms with eps 1e-06, exact GELU, positions bicubic"
    )
    assert len({each.weights_fingerprint for each in built}) == 1


def test_preprocessing_in_the_config_goes_before_that_of_the_implementation(written):
    spec = BackboneSpec(
        "b",
        "transformers",
        "facebook/vit-mae-base",
        str(written("mae")["transformers"]),
        80,
        implementation="timm",
        preprocessing={"resize": 100},
    )
    seen = build_backbone(spec).preprocessing
    assert (seen["resize_mode"], seen["resize"], seen["interpolation"]) == (
        "shortest",
        100,
        "bicubic",
    )


def test_sizes_of_resized_images_are_rounded_as_by_the_library():
    assert prepared(Preparing("shortest", "bicubic", 0.9, "down"), 224)["resize"] == 248
    assert prepared(Preparing("shortest", "bicubic", 224 / 256), (224, 208))["resize"] == (256, 238)


# ---------------------------------------------------------------- what the entries say


def names(loader):
    """All models of a loader's library, with their tags."""
    catalogue = Catalogue(loader)
    return [name for name in catalogue.names() if catalogue.between in name]


def gelus_of(model):
    """The kinds of GELU in a model, by what they answer."""
    x = torch.linspace(-3, 3, 64, device="cpu")
    found = set()
    for module in model.modules():
        if re.search("gelu", type(module).__name__, re.IGNORECASE):
            found |= {k for k, made in GELUS.items() if torch.allclose(made()(x), module(x))}
    return found


def sampled():
    """Names of timm: two of each family."""
    drawn, families = random.Random(0), {}
    for name in names("timm"):
        families.setdefault(family_of("timm", name), []).append(name)
    del families[None]
    assert families.keys() == LOADERS["timm"].families.keys()
    return [(f, name) for f, found in families.items() for name in drawn.sample(found, 2)]


@pytest.mark.parametrize("family, name", sampled())
def test_what_timms_entry_says_of_a_family_is_what_timm_builds(family, name):
    said = LOADERS["timm"].families[family]
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0, depth=1)
    eps = {module.eps for module in model.modules() if isinstance(module, torch.nn.LayerNorm)}
    assert eps == {said.eps}
    if said.gelu and not re.search("giant_|huge_plus|small_plus|7b", name):  # SwiGLU
        assert gelus_of(model) == {said.gelu}


def test_what_timms_entry_says_of_images_is_what_timm_says_of_every_model():
    for name in names("timm"):
        family = family_of("timm", name)
        said = LOADERS["timm"].families[family].preparing if family else None
        if said is None:
            continue
        settings = timm.get_pretrained_cfg(name)
        assert said == Preparing(
            {"center": "shortest"}[settings.crop_mode],
            settings.interpolation,
            settings.crop_pct,
            "down" if settings.crop_pct < 1 else "nearest",
        ), name


@pytest.mark.parametrize(
    "family, models",
    [
        (
            "clip_openai",
            {
                "timm": "vit_base_patch32_clip_quickgelu_224.openai",
                "open_clip": "ViT-B-32:openai",
                "transformers": "openai/clip-vit-base-patch32",
            },
        ),
        (
            "clip_openai_large",
            {
                "timm": "vit_large_patch14_clip_336.openai",
                "open_clip": "ViT-L-14-336-quickgelu:openai",
                "transformers": "openai/clip-vit-large-patch14-336",
            },
        ),
        (
            "clip",
            {
                "timm": "vit_large_patch14_clip_224.laion2b",
                "open_clip": "ViT-L-14:laion2b_s32b_b82k",
                "transformers": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
            },
        ),
        # Whose images open_clip squashes.
        (None, {"timm": "vit_huge_patch14_clip_224.dfn5b", "open_clip": "ViT-H-14:dfn5b"}),
        (
            None,
            {
                "timm": "vit_huge_patch14_clip_378.metaclip2_worldwide",
                "open_clip": "ViT-H-14-worldwide-378:metaclip2_worldwide",
            },
        ),
    ],
)
def test_a_checkpoint_is_of_one_family_in_all_libraries(family, models):
    assert {family_of(loader, model) for loader, model in models.items()} == {family}


def test_all_names_of_a_family_are_vision_transformers():
    for loader in ("timm", "open_clip"):
        rows = {row.architecture: row.said for row in Catalogue(loader).rows()}
        for name in names(loader):
            if family_of(loader, name):
                architecture = name.split(Catalogue(loader).between)[0]
                assert rows[architecture] != "-", name


def test_what_open_clips_entry_says_is_what_its_tags_say():
    found = set()
    for name in names("open_clip"):
        family = family_of("open_clip", name)
        if family is None:
            continue
        found.add(family)
        said = LOADERS["open_clip"].families[family]
        settings = get_pretrained_cfg(*name.split(":"))
        assert said.preparing is not None
        assert said.preparing.resize_mode == settings["resize_mode"], name
        assert said.preparing.interpolation == settings["interpolation"], name
        tower = open_clip.get_model_config(name.split(":")[0])["vision_cfg"].get("timm_model_name")
        if tower:
            tag = "v2_webli" if "SigLIP2" in name else "webli"
            assert family_of("timm", f"{tower}.{tag}") == family, name
            assert said.gelu == LOADERS["timm"].families[family].gelu
        elif said.gelu:
            assert settings["quick_gelu"], name
    assert found == LOADERS["open_clip"].families.keys()


def test_the_page_says_what_the_entries_and_the_comparison_say():
    lines, page = compare.read_lines(), compare.PAGE.read_text(encoding="utf-8")
    for name, part in compare.parts(lines).items():
        assert part in page, f"run resources/compare_implementations.py: {name}"
    assert {line["family"] for line in lines} == {kind.label for kind in KINDS.values()}
    settings = [key for key in lines[0] if "_as_" in key]
    assert len(settings) == 4
    assert max(float(line[key]) for line in lines for key in settings) <= ZERO


# ---------------------------------------------------------------- refusals

MAE = ("timm", "vit_base_patch16_224.mae")


@pytest.mark.parametrize(
    "backbone, chosen, message",
    [
        (
            ("timm", "vit_tiny_patch16_224"),
            "transformers",
            r"is of no family .* known in timm \(din",
        ),
        (("transformers", "someone/vit"), "timm", "write `model` as transformers names the publ"),
        (MAE, "open_clip", "no models of the family mae, .*: choose timm or transformers"),
        (
            ("transformers", "google/siglip-so400m-patch14-384"),
            "timm",
            r"give backbones\.b\.preprocessing resize_mode, .*, resampling and margin, as https",
        ),
        (MAE, "tensorflow", "There is no loader 'tensorflow'"),
    ],
)
def test_what_cannot_be_given_is_refused_with_the_cure(backbone, chosen, message):
    with pytest.raises(UserError, match=message):
        implementation("b", *backbone, chosen, {})
    with pytest.raises(UserError, match=message):
        build_backbone(BackboneSpec("b", *backbone, "random", implementation=chosen))


def test_a_model_with_another_activation_than_its_family_is_refused():
    options = {"embed_dim": 64, "depth": 2, "num_heads": 1, "act_layer": "relu"}
    spec = BackboneSpec("b", *MAE, "random", 32, options=options)
    assert build_backbone(spec).depth == 2
    with pytest.raises(UserError, match=r"'b' \(vit_base.* has no GELU .* take `implementation`"):
        build_backbone(replace(spec, implementation="transformers"))


def test_an_open_preprocessing_can_be_given():
    given = {"resize_mode": "shortest", "resize": 426, "interpolation": "bicubic"}
    given |= {"resampling": "pillow", "margin": "even"}
    where = ("b", "transformers", "google/siglip-so400m-patch14-384", "timm")
    assert implementation(*where, given).gelu == "exact"


def test_a_study_is_checked_when_it_is_planned():
    config = paper_config()
    config["backbones"]["deit"]["implementation"] = "open_clip"
    with pytest.raises(UserError, match=r"^config: backbones\.deit\.implementation is open_clip"):
        Study(config)
    config["backbones"]["deit"]["implementation"] = "transformers"
    dinov2 = config["backbones"]["dinov2"]
    dinov2["implementation"] = dinov2["loader"]  # which is as without
    study = Study(config)
    assert study.backbone_settings("deit")["implementation"] == "transformers"
    assert "implementation" not in study.backbone_settings("dinov2")
