"""From a decoded image to the pixels that a pretrained network expects.

One implementation for the three libraries: each loader translates its library's own settings
for the pretrained weights into a `Preprocessing`, which the cache records. The tests compare
with the libraries' own transforms. No torch here, so that decoding processes stay small.
"""

from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image

INTERPOLATIONS = {
    name.lower(): getattr(Image.Resampling, name)
    for name in ("NEAREST", "BILINEAR", "BICUBIC", "LANCZOS")
}


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop, scale to [0, 1], subtract `mean`, divide by `std` (per RGB channel).

    resize_mode: `shortest` brings the shorter side to `resize` pixels and keeps the aspect
    ratio; `squash` makes a square of `resize` pixels. crop: side of the central square, at most
    `resize`. interpolation: a key of `INTERPOLATIONS`.
    """

    resize_mode: str
    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def pixels(self, image):
        """The resized and cropped RGB `image` (PIL): uint8 [3, crop, crop]."""
        width, height = image.size
        if self.resize_mode == "squash":
            size = (self.resize, self.resize)
        elif width <= height:
            size = (self.resize, int(self.resize * height / width))
        else:
            size = (int(self.resize * width / height), self.resize)
        if size != image.size:
            image = image.resize(size, INTERPOLATIONS[self.interpolation])
        left, top = (round((side - self.crop) / 2) for side in size)
        image = image.crop((left, top, left + self.crop, top + self.crop))
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))

    def record(self):
        """The settings as a JSON-able dictionary."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
