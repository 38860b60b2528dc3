"""Decoding: every kind of picture becomes 8-bit RGB, and every broken file is named."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from visae.base.errors import UserError
from visae.images.decoding import LARGEST, check_masks, is_image, load_image, load_mask
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


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_values_of_fewer_bits_fill_the_range(bits, suffix, tmp_path):
    """Cameras' 12 bits in 16-bit files are not black; a PGM says its largest value itself."""
    largest = 2**bits - 1
    values = np.rint(np.array([[0, 0.25, 0.5, 1]]) * largest).astype(np.uint16)
    if suffix == "pgm":
        header = f"P5 4 1 {largest}\n".encode()
        (tmp_path / "a.pgm").write_bytes(
            header + values.astype(">u2" if bits > 8 else "u1").tobytes()
        )
    else:
        Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert np.abs(pixels(tmp_path / f"a.{suffix}")[0, :, 0] - [0, 63.75, 127.5, 255]).max() <= 1


def _chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


_COLOUR_TYPE = {2: 4, 3: 2, 4: 6}  # channels → as the header says it


def _png_of_16_bits(values_hwc):
    height, width, channels = values_hwc.shape
    kind = _COLOUR_TYPE[channels]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values_hwc)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
        + _chunk(b"IDAT", zlib.compress(lines))
        + _chunk(b"IEND", b"")
    )


def test_colours_of_12_bits_in_16_are_refused_since_their_lower_byte_is_lost(tmp_path):
    colours = np.linspace(0, 1, 12).reshape(2, 2, 3)
    (tmp_path / "deep.png").write_bytes(_png_of_16_bits(np.rint(colours * 65535)))
    assert np.abs(pixels(tmp_path / "deep.png") - colours * 255).max() <= 1
    (tmp_path / "dark.png").write_bytes(_png_of_16_bits(np.rint(colours * 4095)))
    with pytest.raises(UserError, match=r"dark.png has three channels.*at most 12"):
        load_image(tmp_path / "dark.png")


@pytest.mark.parametrize("colours", [1, 3])
def test_what_is_opaque_is_not_taken_for_bright(colours, tmp_path):
    """Of 12 bits in 16 with an alpha channel, which has all 16."""
    dark = np.full((2, 2, colours + 1), 4095)
    dark[:, :, -1] = 65535
    (tmp_path / "dark.png").write_bytes(_png_of_16_bits(dark))
    with pytest.raises(UserError, match=r"dark.png has three channels.*at most 12"):
        load_image(tmp_path / "dark.png")
    (tmp_path / "bright.png").write_bytes(_png_of_16_bits(np.minimum(dark * 16 + 15, 65535)))
    assert (pixels(tmp_path / "bright.png") == 255).all()


def test_a_large_text_in_a_png_is_no_damage(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", "x" * 3_000_000, zip=True)
    Image.fromarray(RAMP).save(tmp_path / "a.png", pnginfo=text)
    assert (pixels(tmp_path / "a.png") == RAMP[:, :, None]).all()


def _header_of_png(path, width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)
    path.write_bytes(start + _chunk(b"IDAT", b"") + _chunk(b"IEND", b""))


def test_large_pictures_are_opened_and_larger_ones_named_with_their_size(tmp_path):
    assert 14_000 * 13_000 < LARGEST < 20_000 * 20_000
    for name in ("large.png", "mask.png"):
        _header_of_png(tmp_path / name, 14_000, 13_000)
    record = ImageRecord("large", "large.png", -1, "", "mask.png")
    check_masks(ImageIndex((record,), ()), tmp_path)
    _header_of_png(tmp_path / "larger.png", 20_000, 20_000)
    with pytest.raises(UserError, match=r"larger.png is 20000×20000 pixels"):
        load_image(tmp_path / "larger.png")


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1)])
def test_strips_that_would_fill_the_memory_are_named(size, tmp_path):
    Image.new("RGB", size).save(tmp_path / "strip.png")
    with pytest.raises(UserError, match=r"strip.png is .*200 times the shorter side"):
        load_image(tmp_path / "strip.png")


def test_what_pillow_reads_is_an_image(tmp_path):
    for suffix in ("pgm", "gif", "jfif", "jpe", "avif", "JPG", "tiff", "jp2"):
        assert is_image(tmp_path / f"a.{suffix}")  # not opened: the suffix tells
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "n01440764_10")
    assert is_image(tmp_path / "n01440764_10")
    for name in ("words.txt", "empty", "data.h5", "clip.mpg"):
        (tmp_path / name).write_text("" if name == "empty" else "words " * 99)
        assert not is_image(tmp_path / name)


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
    with pytest.raises(UserError, match=rf"photo\.{suffix} is (missing|damaged)"):
        load_image(path)


@pytest.mark.parametrize("read", [load_image, lambda path: load_mask(path, 255)])
def test_a_png_whose_checksum_is_wrong_is_refused(read, tmp_path):
    # The checksum alone is changed: Pillow decodes the pixels without comparing it.
    path = tmp_path / "mask.png"
    Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10)).save(path)
    read(path)
    changed = bytearray(path.read_bytes())
    changed[changed.index(b"IEND") - 5] ^= 1
    path.write_bytes(changed)
    with Image.open(path) as image:
        assert np.array(image).max() == 99
    with pytest.raises(UserError, match=r"mask\.png.*checksum"):
        read(path)


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
    with pytest.raises(UserError, match=r"absent.png is missing"):
        check_masks(index("absent.png"), tmp_path)
    with pytest.raises(UserError, match=r"'a' has no mask"):
        check_masks(index(""), tmp_path)


# --- masks whose values are not what is read -----------------------------------------------


def _grey_png(bits, values):
    line = sum(value << (bits * (7 - place)) for place, value in enumerate(values))
    header = struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b"\0" + line.to_bytes(bits, "big")))
        + _chunk(b"IEND", b"")
    )


FEW = np.array([[0, 1, 2, 3, 3, 2, 1, 0]], np.uint8)


def test_masks_of_eight_bits_or_with_a_palette_hold_their_values(tmp_path):
    for suffix in ("png", "tif", "gif", "bmp", "pgm"):
        Image.fromarray(FEW).save(tmp_path / f"grey.{suffix}")
        assert (load_mask(tmp_path / f"grey.{suffix}", 3) == FEW).all(), suffix
    (tmp_path / "few.png").write_bytes(_grey_png(8, FEW[0].tolist()))
    assert (load_mask(tmp_path / "few.png", 3) == FEW).all()
    for bits in (2, 4, 8):
        image = Image.fromarray(FEW, "P")
        image.putpalette(bytes(range(12)))
        image.save(tmp_path / "palette.png", bits=bits)
        assert (load_mask(tmp_path / "palette.png", 3) == FEW).all(), bits


@pytest.mark.parametrize(
    "name, content",
    [
        ("two.png", _grey_png(2, FEW[0].tolist())),
        ("four.png", _grey_png(4, FEW[0].tolist())),
        ("few.pgm", b"P5 8 1 3\n" + FEW.tobytes()),
        ("few.pgm", b"P2 8 1 150\n" + b" ".join(b"%d" % v for v in FEW[0])),
    ],
)
def test_masks_of_fewer_bits_are_refused_before_they_are_decoded(name, content, tmp_path):
    """Pillow stretches 0 … 3 to 0 … 255 (2 bits), or 0 … 51 (4 bits)."""
    (tmp_path / name).write_bytes(content)
    Image.fromarray(FEW).save(tmp_path / "image.png")
    with pytest.raises(UserError, match=rf"{name} has grey values of fewer than 8 bits.*8 bits"):
        load_mask(tmp_path / name, 200)
    record = ImageRecord("image", "image.png", -1, "", name)
    with pytest.raises(UserError, match=rf"{name} has grey values"):
        check_masks(ImageIndex((record,), ()), tmp_path)


def test_masks_in_jpeg_are_refused(tmp_path):
    Image.fromarray(FEW).save(tmp_path / "mask.jpg")
    with pytest.raises(UserError, match=r"mask.jpg is a JPEG, .*PNG"):
        load_mask(tmp_path / "mask.jpg", 200)
