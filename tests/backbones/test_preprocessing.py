"""Pixels as each library's own processor makes them, for the checkpoints of docs/preprocessing.md.

Sizes are drawn from 200 to 800 pixels, so that height and width have all remainders by 4: margins
before a crop, and their halves, are even and odd.
"""

import json
import sys
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import skimage.data
import timm
import torch
import transformers
from backbone_fixtures import HF_MLP, small_spec
from PIL import Image
from torchvision.transforms import functional as older_functional
from torchvision.transforms.v2.functional import _geometry
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.loaders.transformers.load import PUBLISHED
from visae.backbones.preprocessing import MARGINS, RESAMPLINGS, Preprocessing
from visae.base.errors import UserError
from visae.base.repository import RESOURCES
from visae.images.decoding import load_image

sys.path.insert(0, str(RESOURCES))
import list_preprocessing
from list_preprocessing import BILINEAR, CHECKPOINTS, squashed

NAMES = [f"{c.kind} of {c.loader}" for c in CHECKPOINTS]
LARGEST_DIFFERENCE = 1e-6  # of normalised pixels, where a library scales and normalises in one step


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """JPEG and PNG files of photographs, of 16 sizes with all pairs of remainders by 4."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(5)
    photograph = Image.fromarray(skimage.data.astronaut())
    paths = []
    for number in range(16):
        width, height = (4 * int(random.integers(50, 200)) + part for part in divmod(number, 4))
        path = folder / f"{width}x{height}.{('jpg', 'png')[sum(divmod(number, 4)) % 2]}"
        # Fine texture, on which a pixel more or less is seen.
        noise = random.normal(0, 25, (height, width, 3))
        pixels = np.asarray(photograph.resize((width, height))) + noise
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=95)
        paths.append(path)
    sizes = [Image.open(path).size for path in paths]
    assert len({(width % 4, height % 4) for width, height in sizes}) == 16
    assert all(200 <= side < 800 for size in sizes for side in size)
    return paths


def their_transform(checkpoint, backbone, folder):
    """The library's own function of a PIL image, for `checkpoint`."""
    if checkpoint.loader == "timm":
        settings = timm.data.resolve_model_data_config(backbone.model)
        return timm.data.create_transform(**settings, is_training=False)
    if checkpoint.loader == "open_clip":
        settings = open_clip.pretrained.get_pretrained_cfg(*checkpoint.model.split(":"))
        names = ("mean", "std", "interpolation", "resize_mode")
        return open_clip.image_transform(224, False, **{name: settings[name] for name in names})
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    return lambda image: processor(image, return_tensors="pt")["pixel_values"][0]


@pytest.mark.parametrize("checkpoint", CHECKPOINTS, ids=NAMES)
def test_pixels_are_those_of_the_librarys_own_processor(checkpoint, files, tmp_path):
    backbone = list_preprocessing.built(checkpoint, tmp_path)
    row = (checkpoint.kind, checkpoint.loader, *list_preprocessing.described(backbone.transform))
    page = list_preprocessing.PAGE.read_text(encoding="utf-8")
    assert f"| {' | '.join(row)} |" in page, "run resources/list_preprocessing.py"
    theirs = their_transform(checkpoint, backbone, tmp_path)
    in_one_step = bool(checkpoint.settings) and backbone.transform.resampling != "torch_floats"
    for path in files:
        ours = backbone.preprocess(load_image(path))
        expected = theirs(Image.open(path))
        if in_one_step:
            assert (ours - expected).abs().max() <= LARGEST_DIFFERENCE
        else:
            assert torch.equal(ours, expected)


OF_TRANSFORMERS = [checkpoint for checkpoint in CHECKPOINTS if checkpoint.settings]
# Whose published settings are others than their processor's class has by default.
NOT_OF_THE_CLASS = ("DINOv2", "DINOv2, registers", "SigLIP 2", "BEiT")


@pytest.mark.parametrize("checkpoint", OF_TRANSFORMERS, ids=lambda checkpoint: checkpoint.kind)
def test_rows_of_transformers_are_their_classes_own_but_for_those_that_the_page_names(
    checkpoint, tmp_path
):
    bare = {"image_processor_type": checkpoint.settings["image_processor_type"]}
    found = []
    for name, settings in (("published", checkpoint.settings), ("bare", bare)):
        (tmp_path / name).mkdir()
        changed = replace(checkpoint, settings=settings)
        built = list_preprocessing.built(changed, tmp_path / name)
        found.append(list_preprocessing.described(built.transform))
    assert (found[0] == found[1]) == (checkpoint.kind not in NOT_OF_THE_CLASS)


@pytest.mark.parametrize("kind", OF_TRANSFORMERS, ids=lambda checkpoint: checkpoint.kind)
def test_bytes_of_transformers_are_equal_before_they_are_normalised(kind, files, tmp_path):
    transform = list_preprocessing.built(kind, tmp_path).transform
    plain = {"do_normalize": False, "do_rescale": transform.resampling == "torch_floats"}
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, **plain)
    for path in files[::3]:
        theirs = processor(Image.open(path), return_tensors="pt")["pixel_values"][0]
        assert torch.equal(torch.from_numpy(transform.pixels(load_image(path))), theirs)


PIL_PROCESSORS = {
    "clip_vision_model": CLIPImageProcessorPil(**list_preprocessing.CLIP),
    "deit": DeiTImageProcessorPil(**list_preprocessing.IMAGENET),
    "dinov2": BitImageProcessorPil(size={"shortest_edge": 256}, **list_preprocessing.IMAGENET),
    "siglip_vision_model": SiglipImageProcessorPil(),
    "vit": ViTImageProcessorPil(),
    "vit_mae": ViTImageProcessorPil(**list_preprocessing.IMAGENET),
}


@pytest.mark.parametrize("kind", PIL_PROCESSORS)
def test_types_without_a_file_are_as_the_processors_that_use_pillow(kind, files):
    ours, processor = PUBLISHED[kind], PIL_PROCESSORS[kind]
    assert processor.backend == "pil"
    plain = {"do_normalize": False, "do_rescale": False}
    for path in files[::2]:
        image = load_image(path)
        theirs = processor(image, return_tensors="np", **plain)["pixel_values"][0]
        assert np.array_equal(ours.pixels(image), theirs)
        normalised = processor(image, return_tensors="np")["pixel_values"][0]
        assert np.abs(ours.normalised(image) - normalised).max() <= LARGEST_DIFFERENCE


@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"height": 192, "width": 256}},
        {"size": {"height": 251, "width": 247}, "crop_size": {"height": 192, "width": 224}},
        {"size": {"shortest_edge": 251}, "crop_size": {"height": 192, "width": 224}},
        {"size": {"shortest_edge": 224}, "crop_size": 224, "resample": 1},
    ],
)
def test_processors_of_other_sizes(settings, files, tmp_path):
    cut = {"do_center_crop": True} if "crop_size" in settings else {}
    settings = {"image_processor_type": "CLIPImageProcessor", "do_center_crop": False} | settings
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings | cut))
    (tmp_path / "config.json").write_text(
        json.dumps(HF_MLP | {"model_type": "vit", "patch_size": 32, "num_hidden_layers": 1})
    )
    size = settings.get("crop_size", settings["size"])
    size = size if isinstance(size, int) else [size["height"], size["width"]]
    spec = BackboneSpec("x", "transformers", str(tmp_path), "random", size)
    backbone = build_backbone(spec)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    for path in files[::5]:
        theirs = processor(Image.open(path), return_tensors="pt")["pixel_values"][0]
        assert (backbone.preprocess(load_image(path)) - theirs).abs().max() <= LARGEST_DIFFERENCE


# ---------------------------------------------------------------- margins and resamplings


@pytest.mark.parametrize("size, apart", [((500, 334), True), ((500, 375), False)])
def test_the_two_margins_are_a_pixel_apart_for_one_size_in_four(size, apart):
    wide = Preprocessing("shortest", 256, 224, "bicubic", (0,) * 3, (1,) * 3)
    left_out = wide.resized(*size)[0] - 224
    even, down = (MARGINS[name](left_out / 2) for name in ("even", "down"))
    assert (even - down, left_out % 4 == 3) == (int(apart), apart)
    image = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    )
    assert np.array_equal(wide.pixels(image), replace(wide, margin="down").pixels(image)) != apart


def checkers(width, height):
    """Black and white fields, which bicubic interpolation overshoots."""
    y, x = np.mgrid[:height, :width]
    fields = ((y // 5 + x // 7) % 2 * 255).astype(np.uint8)
    return Image.fromarray(np.repeat(fields[..., None], 3, axis=2))


# As docs/preprocessing.md says: levels of 255 between a resampling and Pillow's.
LEVELS = {
    ("bilinear", "photographs"): {"torch_bytes": 1, "torch_rounded": 1, "torch_floats": 1},
    ("bilinear", "edges"): {"torch_bytes": 1, "torch_rounded": 1, "torch_floats": 1},
    ("bicubic", "photographs"): {"torch_bytes": 1, "torch_rounded": 5, "torch_floats": 16},
    ("bicubic", "edges"): {"torch_bytes": 12, "torch_rounded": 12, "torch_floats": 27},
}


@pytest.mark.parametrize("interpolation, images", LEVELS)
def test_how_far_the_resamplings_are_apart(interpolation, images):
    photographs = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.rocket()]
    chosen = map(Image.fromarray, photographs)
    if images == "edges":
        chosen = [checkers(500, 375), checkers(403, 700)]
    found = dict.fromkeys(RESAMPLINGS, 0.0)
    pillow = Preprocessing("squash", 224, 224, interpolation, (0,) * 3, (1,) * 3)
    for image in chosen:
        expected = pillow.pixels(image).astype(float)
        for name in RESAMPLINGS:
            values = replace(pillow, resampling=name).pixels(image)
            assert values.dtype == (np.float32 if name == "torch_floats" else np.uint8)
            levels = values.astype(float) * (255 if name == "torch_floats" else 1)
            found[name] = max(found[name], np.abs(levels - expected).max())
    assert found.pop("pillow") == 0
    assert {name: int(np.ceil(each)) for name, each in found.items()} == LEVELS[
        interpolation, images
    ]


def test_the_older_resize_rounds_once(files):
    ours = Preprocessing("squash", 224, 224, "bicubic", (0,) * 3, (1,) * 3, "torch_rounded")
    image = load_image(files[1])
    values = torch.from_numpy(np.array(image).transpose(2, 0, 1))
    mode = older_functional.InterpolationMode.BICUBIC
    theirs = older_functional.resize(values, [224, 224], mode, antialias=True)
    assert torch.equal(torch.from_numpy(ours.pixels(image)), theirs)


@pytest.mark.parametrize("kind", ["DINOv2", "MAE"])
def test_where_torchvision_has_no_way_for_bytes_a_processor_rounds_once(
    kind, files, tmp_path, monkeypatch
):
    """As on a GPU, by torchvision's code."""
    checkpoint = next(c for c in OF_TRANSFORMERS if c.kind == kind)
    transform = list_preprocessing.built(checkpoint, tmp_path).transform
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    monkeypatch.setattr(_geometry, "_do_native_uint8_resize_on_cpu", lambda interpolation: False)
    image = load_image(files[1])
    theirs = np.asarray(processor(image, return_tensors="pt")["pixel_values"][0])
    rounded = replace(transform, resampling="torch_rounded").normalised(image)
    assert np.abs(rounded - theirs).max() <= LARGEST_DIFFERENCE
    assert np.array_equal(transform.normalised(image), rounded)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_bilinear_bytes_are_rounded_once_on_a_cpu_without_avx2(interpolation, files, monkeypatch):
    bytes_ = Preprocessing("squash", 224, 224, interpolation, (0,) * 3, (1,) * 3, "torch_bytes")
    rounded = replace(bytes_, resampling="torch_rounded")
    image = load_image(files[1])
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    for capability, equal in (("AVX2", False), ("DEFAULT", interpolation == "bilinear")):
        monkeypatch.setattr(
            torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability
        )
        assert np.array_equal(bytes_.pixels(image), rounded.pixels(image)) == equal


def test_an_entry_may_choose_resampling_and_margin(files):
    plain = build_backbone(small_spec("timm", image_size=224, options={"depth": 1}))
    chosen = {"resampling": "torch_floats", "margin": "down"}
    changed = build_backbone(
        small_spec("timm", image_size=224, options={"depth": 1}, preprocessing=chosen)
    )
    assert changed.preprocessing == plain.preprocessing | chosen
    image = load_image(files[0])
    difference = (changed.preprocess(image) - plain.preprocess(image)).abs().max()
    assert 0 < difference < 30 / 255 / 0.225


# ---------------------------------------------------------------- kinds of images


PHOTOGRAPH = Image.fromarray(skimage.data.astronaut()).resize((301, 270))


def with_alpha():
    image = PHOTOGRAPH.convert("RGBA")
    image.putalpha(Image.fromarray((np.indices((270, 301)).sum(0) % 256).astype(np.uint8)))
    return image


KINDS = {
    "black and white.png": PHOTOGRAPH.convert("1"),
    "grayscale.png": PHOTOGRAPH.convert("L"),
    "grayscale.jpg": PHOTOGRAPH.convert("L"),
    "grayscale with alpha.png": PHOTOGRAPH.convert("LA"),
    "palette.png": PHOTOGRAPH.quantize(64),
    "opaque.png": PHOTOGRAPH.convert("RGBA"),
    "transparent.png": with_alpha(),
    "four inks.jpg": PHOTOGRAPH.convert("CMYK"),
}
READERS = [
    next(c for c in CHECKPOINTS if (c.kind, c.loader) == each)
    for each in (
        *(("CLIP", loader) for loader in ("timm", "open_clip", "transformers")),
        *((kind, "transformers") for kind in ("MAE", "DINOv3")),
    )
]


@pytest.fixture(scope="module", params=READERS, ids=lambda c: f"{c.kind} of {c.loader}")
def reader(request, tmp_path_factory):
    """(checkpoint, backbone, the library's transform)."""
    folder = tmp_path_factory.mktemp("checkpoint")
    backbone = list_preprocessing.built(request.param, folder)
    return request.param, backbone, their_transform(request.param, backbone, folder)


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_other_modes_are_read_as_the_library_reads_them_as_rgb(kind, reader, tmp_path):
    _, backbone, theirs = reader
    KINDS[kind].save(tmp_path / kind, **({"quality": 95} if kind.endswith("jpg") else {}))
    expected = theirs(Image.open(tmp_path / kind).convert("RGB"))
    ours = backbone.preprocess(load_image(tmp_path / kind))
    assert (ours - expected).abs().max() <= LARGEST_DIFFERENCE


# What a library does with the file's own mode, as docs/preprocessing.md says: the largest
# difference from ours in normalised pixels, or the error.
AS_THEY_ARE = {
    ("CLIP", "open_clip", "grayscale.png"): 0,
    ("CLIP", "open_clip", "palette.png"): 1.7,
    ("CLIP", "open_clip", "transparent.png"): 3.8,
    ("CLIP", "transformers", "palette.png"): 0,
    ("CLIP", "transformers", "opaque.png"): 0,
    ("CLIP", "transformers", "transparent.png"): 3.8,
    ("MAE", "transformers", "grayscale.png"): "doesn't match the broadcast",
    ("MAE", "transformers", "transparent.png"): "must match the size",
    ("DINOv3", "transformers", "grayscale.png"): 0,
    ("DINOv3", "transformers", "palette.png"): 4.3,
}


def test_what_libraries_do_with_other_modes_than_rgb(reader):
    checkpoint, backbone, theirs = reader
    for kind, expected in AS_THEY_ARE.items():
        if kind[:2] != (checkpoint.kind, checkpoint.loader):
            continue
        image = KINDS[kind[2]]
        if isinstance(expected, str):
            with pytest.raises(RuntimeError, match=expected):
                theirs(image)
            continue
        ours = backbone.preprocess(image.convert("RGBA").convert("RGB"))
        assert (ours - theirs(image)).abs().max() == pytest.approx(expected, abs=0.1)


def test_16_bits_are_scaled_where_libraries_clip_them(reader, tmp_path):
    _, backbone, theirs = reader
    levels = np.asarray(PHOTOGRAPH.convert("L"))
    Image.fromarray(levels.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    ours = backbone.preprocess(load_image(tmp_path / "deep.png"))
    assert torch.equal(ours, backbone.preprocess(PHOTOGRAPH.convert("L").convert("RGB")))
    clipped = theirs(Image.open(tmp_path / "deep.png").convert("RGB"))
    assert (ours - clipped).abs().max() > 1


# ---------------------------------------------------------------- processors of transformers


def folder_of(tmp_path, processor):
    config = HF_MLP | {"model_type": "vit", "image_size": 224, "patch_size": 56}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    return BackboneSpec("x", "transformers", str(tmp_path), "random", None)


@pytest.mark.parametrize(
    "processor, message",
    [
        ({"image_processor_type": "MobileViTImageProcessor"}, "do more than to resize"),
        ({"image_processor_type": "PerceiverImageProcessor"}, "do more than to resize"),
        ({"image_processor_type": "VideoMAEImageProcessor"}, "do more than to resize"),
        (  # which does not filter before it makes an image smaller
            squashed(224, BILINEAR, "DepthProImageProcessor"),
            "do more than to resize",
        ),
        ({"image_processor_type": "FuyuImageProcessor"}, r"fail \('pixel_values'\)"),
        ({"image_processor_type": "ViTImageProcessor", "resample": 4}, "interpolate by box"),
        ({"image_processor_type": "Lfm2VlImageProcessor"}, "fail"),
    ],
)
def test_a_processor_that_does_more_is_refused_by_what_it_does(processor, message, tmp_path):
    with pytest.raises(UserError, match=f"{message}.*not supported"):
        build_backbone(folder_of(tmp_path, processor))


def test_a_timm_checkpoint_in_transformers_has_its_own_settings(tmp_path):
    checkpoint = next(c for c in CHECKPOINTS if c.kind == "PE" and c.loader == "transformers")
    config = list_preprocessing.wrapped(checkpoint.model)
    config["pretrained_cfg"] |= {"mean": [0.1, 0.2, 0.3], "crop_pct": 0.8}
    (tmp_path / "config.json").write_text(json.dumps(config))
    spec = BackboneSpec("x", "transformers", str(tmp_path), "random", None)
    ours = build_backbone(spec)
    assert ours.preprocessing["mean"] == [0.1, 0.2, 0.3]
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    theirs = processor(PHOTOGRAPH, return_tensors="pt")["pixel_values"][0]
    assert torch.equal(ours.preprocess(PHOTOGRAPH), theirs)
    # As from the hub, where the processor is asked.
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "TimmWrapperImageProcessor"})
    )
    assert build_backbone(spec).preprocessing == ours.preprocessing


@pytest.mark.parametrize("content", [{"model_type": "timm_wrapper"}, {"architecture": 3}, [1], 7])
def test_a_configuration_that_cannot_be_read_is_refused_in_a_sentence(content, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"config\.json of|cannot be built with"):
        build_backbone(BackboneSpec("x", "transformers", str(tmp_path), "random", None))
