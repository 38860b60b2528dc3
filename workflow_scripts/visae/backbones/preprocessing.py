"""From a decoded image to the pixels that a pretrained network expects.

One implementation for the three libraries: each loader translates its library's own settings
for the pretrained weights into a `Preprocessing`, which the cache records. The tests compare
with the libraries' own transforms. No torch here, so that decoding processes stay small.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np
from PIL import Image

from visae.backbones.sizes import pair, scaled

INTERPOLATIONS = {
    name.lower(): getattr(Image.Resampling, name)
    for name in ("NEAREST", "BILINEAR", "BICUBIC", "LANCZOS")
}


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop, scale to [0, 1], subtract `mean`, divide by `std` (per RGB channel).

    resize_mode: `shortest` keeps the aspect ratio and brings the image to the smallest size that
    covers `resize`; `squash` makes exactly that. crop: the central rectangle, at most `resize`.
    Both are the side of a square in pixels, or (height, width). interpolation: a key of
    `INTERPOLATIONS`.
    """

    resize_mode: str
    resize: int | tuple[int, int]
    crop: int | tuple[int, int]
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self):
        for name, value in vars(self).items():
            if isinstance(value, list):  # as JSON and configs have tuples; lists have no hash
                object.__setattr__(self, name, tuple(value))

    @property
    def shape(self):
        """(height, width) of what the network sees, in pixels."""
        return pair(self.crop)

    def pixels(self, image):
        """The resized and cropped RGB `image` (PIL): uint8 [3, H, W]."""
        size = self._resized(*image.size)
        if size != image.size:
            image = image.resize(size, INTERPOLATIONS[self.interpolation])
        rows, columns = self.shape
        left, top = round((size[0] - columns) / 2), round((size[1] - rows) / 2)
        image = image.crop((left, top, left + columns, top + rows))
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))

    def _resized(self, width, height):
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

    def enlarged(self, times):
        """The same at `times` as many pixels in height and width."""
        resize, crop = (
            scaled(size, lambda side: side * times) for size in (self.resize, self.crop)
        )
        return replace(self, resize=resize, crop=crop)

    def record(self):
        """The settings as a JSON-able dictionary."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
