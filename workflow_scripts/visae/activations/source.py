"""What every reader of activations sees, whether they come from a cache or from images.

`ActivationCache` and `StreamedActivations` are both `Activations`. Reductions are `LabelledImages`,
too: they are of the same images in the same order.
"""

import numpy as np


class LabelledImages:
    """N images in a fixed order, with what is known of them; a context manager that closes it.

    Attributes: `labels` int64 [N], `image_ids` (list of str).
    """

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close the files that are open."""

    @property
    def images(self):
        """N, the number of images."""
        return len(self.labels)


class Activations(LabelledImages):
    """The patch activations of a split, read chunk by chunk.

    Attributes: `path` (where they come from, for messages), `info` (CacheInfo), `chunks` (list of
    (start, stop) images), `mean` float64 [D] and `std` (None but for training caches),
    `fingerprint` (hash of attributes, identities and checksums: of the whole content).
    """

    mean = std = None

    @property
    def tokens(self):
        """N·P, the number of patch tokens."""
        return self.images * self.info.patches

    def read_chunk(self, number):
        """The activations of chunk `number`: float16 [n, P, D]."""
        raise NotImplementedError

    def image_units(self, unit_images):
        """Yield the activations `unit_images` at a time, whatever the chunks: float16 [n, P, D].

        Units are counted from the first image of the split; only the last one may be smaller.
        """
        rest = None
        for number in range(len(self.chunks)):
            chunk = self.read_chunk(number)
            rest = chunk if rest is None or not len(rest) else np.concatenate([rest, chunk])
            whole = len(rest) - len(rest) % unit_images
            for start in range(0, whole, unit_images):
                yield rest[start : start + unit_images]
            rest = rest[whole:]
        if rest is not None and len(rest):
            yield rest
