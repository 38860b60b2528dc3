"""Decoding: every kind of picture becomes 8-bit RGB, and every broken file is named."""

import numpy as np
import pytest
from PIL import Image

from visae.base.errors import UserError
from visae.images.decoding import check_masks, load_image, load_mask
from visae.images.index import ImageIndex, ImageRecord

RAMP = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10


def pixels(path):
    image = load_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
def test_eight_bit_modes(mode, tmp_path):
    values = RAMP if mode != "1" else (RAMP > 100).astype(np.uint8) * 255
    image = Image.fromarray(values).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(7)
    image.save(tmp_path / "image.png")
    assert (pixels(tmp_path / "image.png") == values[:, :, None]).all()


def test_palette_with_transparency(tmp_path):
    image = Image.fromarray(RAMP).convert("P")
    image.save(tmp_path / "image.png", transparency=bytes(range(256)))
    assert (pixels(tmp_path / "image.png") == RAMP[:, :, None]).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_rescaled_and_not_clipped(suffix, tmp_path):
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / f"image.{suffix}")
    assert (pixels(tmp_path / f"image.{suffix}") == RAMP[:, :, None]).all()


def test_cmyk_jpeg_has_the_colours_of_the_rgb_original(tmp_path):
    image = Image.new("RGB", (16, 16), (200, 40, 90))
    image.convert("CMYK").save(tmp_path / "image.jpg", quality=95)
    assert np.abs(pixels(tmp_path / "image.jpg").astype(int) - (200, 40, 90)).max() <= 3


def test_floating_point_images_are_refused(tmp_path):
    Image.fromarray(RAMP / np.float32(255)).save(tmp_path / "image.tif")
    with pytest.raises(UserError, match=r"image.tif has neither 8 nor 16 bits"):
        load_image(tmp_path / "image.tif")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("damage", ["truncated", "corrupt", "empty", "no image", "missing"])
def test_broken_files_are_named(suffix, damage, tmp_path):
    path = tmp_path / f"photo.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {
                "truncated": content[: len(content) // 2],
                "corrupt": content[:30] + bytes(len(content) - 30),
                "empty": b"",
                "no image": b"<html>404 not found</html>",
            }[damage]
        )
    with pytest.raises(UserError, match=rf"photo\.{suffix} cannot be read"):
        load_image(path)


def test_masks_are_class_numbers(tmp_path):
    mask = np.array([[0, 1, 2], [3, 3, 0]], dtype=np.uint8)
    Image.fromarray(mask).save(tmp_path / "grey.png")
    palette = Image.fromarray(mask).convert("P")
    palette.putdata(mask.ravel().tolist())
    palette.save(tmp_path / "palette.png")
    for name in ("grey.png", "palette.png"):
        read = load_mask(tmp_path / name, classes=3)
        assert read.dtype == np.uint8
        assert (read == mask).all()
    with pytest.raises(UserError, match=r"grey.png holds the class number 3.*2 classes"):
        load_mask(tmp_path / "grey.png", classes=2)


def test_masks_of_several_channels_are_refused(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "mask.png")
    with pytest.raises(UserError, match=r"mask.png has mode RGB"):
        load_mask(tmp_path / "mask.png", classes=150)


def test_masks_must_have_the_size_of_their_images(tmp_path):
    def index(mask):
        return ImageIndex((ImageRecord("a", "a.jpg", -1, "", mask),), ())

    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg")
    Image.new("L", (6, 4)).save(tmp_path / "fits.png")
    Image.new("L", (4, 6)).save(tmp_path / "turned.png")
    check_masks(index("fits.png"), tmp_path)
    with pytest.raises(UserError, match=r"turned.png is 4×6 pixels.*a.jpg is 6×4"):
        check_masks(index("turned.png"), tmp_path)
    with pytest.raises(UserError, match=r"absent.png cannot be read"):
        check_masks(index("absent.png"), tmp_path)
    with pytest.raises(UserError, match=r"'a' has no mask"):
        check_masks(index(""), tmp_path)
