"""Random views of a batch of images: crop, flip and colours, drawn for all images at once.

Every paradigm sees the same distribution of views; DINO adds smaller crops, which it is made of.
"""

import math

import torch
import torch.nn.functional as F

LARGE = (0.4, 1.0)
"""Share of the image's area that a view shows: the global crops of DINO, everybody's views."""
SMALL = (0.1, 0.4)
"""Share of the image's area in DINO's local crops."""
LOG_ASPECT = math.log(4 / 3)
JITTER = 0.4


def random_views(images_b3hw, size, generator, area=LARGE):
    """One view per image, of `size` (h, w) pixels: float32 [B, 3, h, w] in 0 … 255.

    A crop of a random share `area` of the image and a width:height ratio of 3:4 to 4:3 times the
    image's own, mirrored half of the time, resampled bilinearly; brightness, contrast and
    saturation each changed by up to ±40 %. images_b3hw: uint8 [B, 3, H, W]. generator: of the CPU,
    whatever the device.
    """
    batch, device = len(images_b3hw), images_b3hw.device

    def uniform(low, high):
        return torch.empty(batch).uniform_(low, high, generator=generator)

    share, aspect = uniform(*area), uniform(-LOG_ASPECT, LOG_ASPECT).exp()
    # In units of half the image's side, as `affine_grid` counts.
    width = (share * aspect).sqrt().clamp(max=1)
    height = (share / aspect).sqrt().clamp(max=1)
    theta = torch.zeros(batch, 2, 3)
    theta[:, 0, 0] = torch.where(uniform(0, 1) < 0.5, -width, width)
    theta[:, 1, 1] = height
    theta[:, 0, 2] = uniform(-1, 1) * (1 - width)
    theta[:, 1, 2] = uniform(-1, 1) * (1 - height)
    grid = F.affine_grid(theta.to(device), [batch, 3, *size], align_corners=False)
    views = F.grid_sample(images_b3hw.float(), grid, padding_mode="border", align_corners=False)
    strengths = [uniform(1 - JITTER, 1 + JITTER).to(device) for _ in range(3)]
    return _jittered(views, *(strength[:, None, None, None] for strength in strengths))


def network_input(backbone, views_b3hw):
    """What `backbone` sees of views in 0 … 255: float32, normalised."""
    return backbone.normalise(views_b3hw / 255)  # of floats it takes the scale from 0 to 1


def _jittered(views, brightness, contrast, saturation):
    views = (views * brightness).clamp_(0, 255)
    views = torch.lerp(_grey(views).mean(dim=(2, 3), keepdim=True), views, contrast).clamp_(0, 255)
    return torch.lerp(_grey(views), views, saturation).clamp_(0, 255)


def _grey(views):
    """Luma (ITU-R BT.601): [B, 1, H, W]."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=views.device)
    return (views * weights[:, None, None]).sum(dim=1, keepdim=True)
