"""Pages of an SAE whose features are colours, of images that are painted patch by patch."""

import base64
import json

import numpy as np
import torch
from cache_fixtures import write_cache
from PIL import Image

from visae.activations.cache import ActivationCache
from visae.audit.lookup import look_up
from visae.audit.pages import write_pages
from visae.backbones.backbone import forward_noise
from visae.backbones.order import patch_order
from visae.backbones.preprocessing import Preprocessing
from visae.backbones.sizes import pair
from visae.base.paths import FEATURE_FILES
from visae.encoding.reductions import SaeReductions
from visae.encoding.sae_pass import encode_activations
from visae.sae.checkpoint import SavedSae
from visae.sae.model import SparseAutoencoder

IMAGES, SEED, RED, GREEN, DEAD = 9, 4, 0, 1, 3
SETTINGS = {"shown": 4, "top_images": 3, "band_images": 2, "queries": 2, "query_features": 5}
PREPARED = {
    "14 × 14, cropped": (
        (14, 14),
        Preprocessing("shortest", 64, 56, "bicubic", (0,) * 3, (1,) * 3),
    ),
    "16 × 16, squashed": (
        (16, 16),
        Preprocessing("squash", 80, 64, "bilinear", (0,) * 3, (1,) * 3),
    ),
    "8 × 8, as it is": ((8, 8), Preprocessing("shortest", 64, 64, "nearest", (0,) * 3, (1,) * 3)),
    "8 × 16, cropped": (
        (8, 16),
        Preprocessing("shortest", (40, 72), (32, 64), "bicubic", (0,) * 3, (1,) * 3),
    ),
    "12 × 6, squashed": (
        (12, 6),
        Preprocessing("squash", (56, 32), (48, 24), "bilinear", (0,) * 3, (1,) * 3),
    ),
}


def colour_sae():
    """Features: red, green and blue patches, each in proportion, and a dead one."""
    weight = 2 * torch.eye(3) - 1
    rows = torch.cat([weight, torch.ones(1, 3)])
    return SparseAutoencoder(
        encoder_weight=rows,
        encoder_bias=torch.tensor([-0.2, -0.2, -0.2, -9.0]),
        decoder_weight=torch.nn.functional.normalize(rows, dim=1),
        threshold=torch.tensor(0.1),
        activation_mean=torch.zeros(3),
        activation_std=torch.tensor(1.0),
    )


def painted(grid, transform, random):
    """An image whose patches, as the backbone sees them, are red, green or grey; and which.

    It is painted twice as large as it is resized to, with a border that the crop cuts off.
    """
    patch = transform.shape[0] // grid[0]
    kinds = random.choice([0, 1, 2], size=grid, p=[0.2, 0.2, 0.6])
    colours = np.array([[230, 10, 10], [10, 230, 10], [90, 90, 90]], np.uint8)
    # Some reds are stronger than others.
    seen = colours[kinds].repeat(patch, axis=0).repeat(patch, axis=1)
    resized = pair(transform.resize)
    border, beside = ((n - cut) // 2 for n, cut in zip(resized, transform.shape, strict=True))
    wide = 6 if transform.resize_mode == "shortest" else 0  # more is cut off at the sides
    sides = ((border, border), (beside + wide, beside + wide), (0, 0))
    whole = np.pad(seen, sides, constant_values=200)
    return Image.fromarray(whole).resize((2 * whole.shape[1], 2 * whole.shape[0]), 0), kinds


def tokens_of(pixels, grid):
    """A backbone: the mean colour of each patch, [P, 3] in raster order."""
    channels, height, _ = pixels.shape
    patch = height // grid[0]
    cells = pixels.reshape(channels, grid[0], patch, grid[1], patch) / 255
    return cells.mean(axis=(2, 4)).reshape(channels, -1).T


def in_order(tokens_pd, order, name):
    patches = len(tokens_pd)
    if order == "permuted":
        return tokens_pd[patch_order(patches, name, SEED)]
    if order == "forward":
        return tokens_pd[forward_noise(patches, [name], SEED)[0].argsort().numpy()]
    return tokens_pd


def encode(cache, sae, path):
    fingerprints = {"s": sae.fingerprint}
    encode_activations(cache, {"s": sae.model}, {"s": path}, sae_fingerprints=fingerprints)


class Made:
    """Pages of the colour SAE, written below `folder`, with all that went into them."""

    def __init__(
        self, folder, prepared, order="raster", labels=None, named=(), values=None, model=None
    ):
        self.grid, self.transform = PREPARED[prepared]
        random, self.paths, self.kinds, tokens = np.random.default_rng(7), {}, [], []
        for number in range(IMAGES):
            name = f"image-{number:06d}"
            self.paths[name] = folder / f"{number}.png"
            picture, kinds = painted(self.grid, self.transform, random)
            picture.save(self.paths[name])
            self.kinds.append(kinds)
            tokens.append(
                in_order(tokens_of(self.transform.pixels(picture), self.grid), order, name)
            )
        self.labels = np.arange(IMAGES) % 3 if labels is None else np.asarray(labels)
        path = write_cache(
            folder, np.stack(tokens).astype(np.float16), grid=self.grid, labels=self.labels,
            token_order=order, preprocessing=self.transform.record(), statistics=False,
        )  # fmt: skip
        self.sae, self.folder = SavedSae(model or colour_sae(), {}, "f" * 16), folder / "pages"
        asked, self.asked_kinds = painted(self.grid, self.transform, random)
        self.asked = tokens_of(self.transform.pixels(asked), self.grid)
        pictures = [("mine.png", asked, torch.from_numpy(self.asked).float())]
        if values is None:
            values = {"M1": np.array([0.5, np.nan, 0.1, np.nan])}
        with ActivationCache(path) as cache:
            encode_activations(
                cache,
                {"s": self.sae.model},
                {"s": folder / "s.h5"},
                sae_fingerprints={"s": "f" * 16},
            )
            with SaeReductions(folder / "s.h5") as reductions:
                self.findings = look_up(
                    self.sae, cache, reductions, values, self.paths, pictures, SETTINGS, named, SEED
                )
            about = {
                "study": "toy", "sae": "s", "backbone": "toy", "label": "Toy <b>", "layer": 3,
                "split": "photographs/val", "report": "../report/index.html",
                "signed": self.sae.model.signed,
            }  # fmt: skip
            files = {name: self.folder / name for name in (*FEATURE_FILES, "images")}
            write_pages(files, about, self.findings, cache, self.paths, ["a", "b", "c & d"])

    def codes_of(self, name):
        """Codes [P, F] of an image, in raster order."""
        tokens = tokens_of(self.transform.pixels(Image.open(self.paths[name])), self.grid)
        return self.sae.model.encode(torch.from_numpy(tokens.astype(np.float16)).float()).numpy()

    def data(self, name):
        """What a script hands to the page."""
        text = (self.folder / f"{name}.js").read_text("utf-8")
        head, _, value = text.partition(" = ")
        assert head.endswith(f'["{name}"]')
        return json.loads(value.removesuffix(";\n"))


def bytes_of(text, kind=np.uint8):
    return np.frombuffer(base64.b64decode(text), kind)
