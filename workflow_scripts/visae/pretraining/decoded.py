"""A whole image split in memory, decoded once, so that no step of a training run touches a file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from visae.base.errors import UserError
from visae.images.decoding import load_image


class DecodedSplit(NamedTuple):
    """The images of one split and what they show.

    pixels_n3hw: uint8 [N, 3, H, W]. labels_n: int64 [N]. classes: the data set's `ClassRecord`s.
    """

    pixels_n3hw: torch.Tensor
    labels_n: torch.Tensor
    classes: tuple

    def to(self, device):
        """The split with its tensors on `device`."""
        return self._replace(
            pixels_n3hw=self.pixels_n3hw.to(device), labels_n=self.labels_n.to(device)
        )


def decode(index, root, transform):
    """Decode the images of `index` (an `ImageIndex`) below `root` as `transform` crops them.

    In bytes, of which views are made. Needs 3·S² bytes per image: meant for small images or small
    splits.

    Raises:
        UserError: an image without a label, or one that cannot be read.
    """
    unlabelled = [record.image_id for record in index.images if record.label < 0]
    if unlabelled:
        raise UserError(
            f"The image '{unlabelled[0]}' in {root} has no class, but pretraining is supervised, "
            "captioned or checked by classes: train on a data set with one label per image."
        )
    transform = transform.in_bytes()
    pixels = [transform.pixels(load_image(Path(root) / record.path)) for record in index.images]
    return DecodedSplit(
        torch.from_numpy(np.stack(pixels)),
        torch.tensor([record.label for record in index.images]),
        index.classes,
    )
