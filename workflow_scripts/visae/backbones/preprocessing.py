"""From a decoded image to the pixels that a pretrained network expects.

One implementation for the three libraries: each loader translates its library's own settings
for the pretrained weights into a `Preprocessing`, which the cache records. The tests compare
with the libraries' own transforms. docs/preprocessing.md says what each of them does. No torch
here, but where images are resized by torch.
"""

import functools
from dataclasses import asdict, dataclass, replace

import numpy as np
from PIL import Image

from visae.backbones.sizes import pair, scaled

INTERPOLATIONS = {
    name.lower(): getattr(Image.Resampling, name)
    for name in ("NEAREST", "BILINEAR", "BICUBIC", "LANCZOS")
}

MARGINS = {"even": round, "down": int}
"""The pixels left out before a crop, by half of what is left out on both sides."""


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop, scale to [0, 1], subtract `mean`, divide by `std` (per RGB channel).

    resize_mode: `shortest` keeps the aspect ratio and brings the image to the smallest size that
    covers `resize`; `squash` makes exactly that. crop: the central rectangle, at most `resize`.
    Both are the side of a square in pixels, or (height, width). interpolation: a key of
    `INTERPOLATIONS`. resampling: what interpolates, a key of `RESAMPLINGS`. margin: a key of
    `MARGINS`; where an odd number of pixels is left out, half of it is rounded to the even
    neighbour (torchvision's crop) or down (transformers').
    """

    resize_mode: str
    resize: int | tuple[int, int]
    crop: int | tuple[int, int]
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resampling: str = "pillow"
    margin: str = "even"

    def __post_init__(self):
        for name, value in vars(self).items():
            if isinstance(value, list):  # as JSON and configs have tuples; lists have no hash
                object.__setattr__(self, name, tuple(value))

    @property
    def shape(self):
        """(height, width) of what the network sees, in pixels."""
        return pair(self.crop)

    def pixels(self, image):
        """The resized and cropped RGB `image` (PIL): [3, H, W].

        They are uint8, or, resampled by `torch_floats`, float32 on the scale from 0 to 1, which
        some leave: bicubic interpolation overshoots at edges.
        """
        size = self.resized(*image.size)
        values_3hw = RESAMPLINGS[self.resampling](image, size, self.interpolation)
        half = MARGINS[self.margin]
        rows, columns = self.shape
        left, top = half((size[0] - columns) / 2), half((size[1] - rows) / 2)
        return np.ascontiguousarray(values_3hw[:, top : top + rows, left : left + columns])

    def resized(self, width, height):
        """(width, height) of an image of that size after it was resized."""
        rows, columns = pair(self.resize)
        if self.resize_mode == "squash":
            return columns, rows
        if rows == columns:  # torchvision's rounding, down
            if width <= height:
                return columns, int(columns * height / width)
            return int(rows * width / height), rows
        times = max(rows / height, columns / width)  # timm's rounding
        return max(columns, round(width * times)), max(rows, round(height * times))

    def cuts_more_than_it_has(self):
        """Whether `crop` is larger than `resize` in height or width."""
        return any(cut > side for cut, side in zip(self.shape, pair(self.resize), strict=True))

    def normalised(self, image):
        """What the network sees of the RGB `image` (PIL): float32 [3, H, W]."""
        values = self.pixels(image)
        shares = values if values.dtype == np.float32 else values / np.float32(255)
        mean_311, std_311 = (
            np.array(each, np.float32).reshape(3, 1, 1) for each in (self.mean, self.std)
        )
        return (shares - mean_311) / std_311

    def in_bytes(self, times=1):
        """The same for pictures to look at and masks: by Pillow, at `times` as many pixels a side.

        What is resized and cut is the same.
        """
        resize, crop = (
            scaled(size, lambda side: side * times) for size in (self.resize, self.crop)
        )
        return replace(self, resize=resize, crop=crop, resampling="pillow")

    def record(self):
        """The settings as a JSON-able dictionary."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def _by_pillow(image, size, interpolation):
    """`image` at `size` (width, height) as uint8 [3, H, W]."""
    if size != image.size:
        image = image.resize(size, INTERPOLATIONS[interpolation])
    return np.asarray(image).transpose(2, 0, 1)


def _by_torch(image, size, interpolation, numbers="bytes"):
    """The same by torchvision on tensors of `numbers`, as transformers' image processors do.

    floats: on the scale from 0 to 1, and not rounded: float32 [3, H, W]. rounded: floats, clipped
    and rounded to bytes.
    """
    import torch
    from torchvision.transforms.v2 import functional

    values_3hw = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    if numbers == "floats":
        values_3hw = values_3hw * (1 / 255)
    elif numbers == "rounded":
        values_3hw = values_3hw.float()
    kind = "nearest-exact" if interpolation == "nearest" else interpolation
    mode = functional.InterpolationMode(kind)
    resized_3hw = functional.resize(values_3hw, size[::-1], interpolation=mode, antialias=True)
    if numbers == "rounded":
        resized_3hw = resized_3hw.clamp(0, 255).round().to(torch.uint8)
    return resized_3hw.numpy()


RESAMPLINGS = {
    "pillow": _by_pillow,
    "torch_bytes": _by_torch,
    "torch_rounded": functools.partial(_by_torch, numbers="rounded"),
    "torch_floats": functools.partial(_by_torch, numbers="floats"),
}
"""How an RGB image becomes values at a size, by name.

Pillow rounds to bytes after either direction, with weights of 22 bits; torch does so with weights
of 16 bits (`torch_bytes`). `torch_rounded` rounds once, at the end: torchvision's older `Resize` on
tensors, and both where torchvision cannot resize bytes (on a GPU; by a bilinear filter on a CPU
with neither AVX2 nor ARM). `torch_floats` does not round.
"""
