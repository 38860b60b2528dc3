"""Two SAEs whose features are the concepts that are painted on images, patch by patch."""

import json

import numpy as np
import torch
from cache_fixtures import write_cache
from feature_fixtures import encode, in_order
from PIL import Image

from visae.activations.cache import ActivationCache
from visae.audit.match_pages import write_match_page
from visae.audit.matches import find_matches
from visae.audit.sides import Side
from visae.backbones.preprocessing import Preprocessing
from visae.base.paths import MATCH_FILES
from visae.sae.checkpoint import SavedSae
from visae.sae.model import SparseAutoencoder

IMAGES, CONCEPTS, SIDE, SEED = 40, 8, 56, 4
SETTINGS = {
    **{"shuffles": 3, "quantile": 0.95, "patch_images": 30},
    **{"shown": 5, "top_images": 3},
}
FRAMES = {
    "whole": Preprocessing("shortest", SIDE, SIDE, "nearest", (0,) * 3, (1,) * 3),
    "squashed": Preprocessing("squash", 64, 64, "nearest", (0.5,) * 3, (1,) * 3),
}


def match_card(left, right, share=0.5, patches=True):
    """What `card.json` says of two SAEs, by their full names; share: of features with a match."""
    found = {
        **{"items": 40, "live": [20, 10], "mutual": 8, "above": round(10 * share)},
        **{"shares": [share / 2, share], "control": [0.01, 0.02], "median": 0.75},
    }
    kinds = {"images": found} | ({"patches": found | {"items": 7840}} if patches else {})
    apart = None if patches else "the grids of patches differ: 14 × 14 and 7 × 7"
    best = {"left": 3, "right": 4, "strength": 0.875}
    return {"left": left, "right": right, "images": 40, "kinds": kinds, "apart": apart,
            "rows": 6, "shown": 2, "best": best}  # fmt: skip


def concept_sae(order, dead=0):
    """Feature f fires on concept `order[f]`; the last `dead` features on none."""
    rows = torch.cat([torch.eye(CONCEPTS)[list(order)], torch.zeros(dead, CONCEPTS)])
    bias = torch.cat([torch.full((len(order),), -0.2), torch.full((dead,), -9.0)])
    return SparseAutoencoder(
        encoder_weight=rows,
        encoder_bias=bias,
        decoder_weight=torch.cat([rows[: len(order)], torch.ones(dead, CONCEPTS)]),
        threshold=torch.tensor(0.1),
        activation_mean=torch.zeros(CONCEPTS),
        activation_std=torch.tensor(1.0),
    )


def painted_concepts(random, side=14):
    """Concepts [N, H, W] of images: each is on some images, on a varying number of patches."""
    kinds = np.full((IMAGES, side, side), -1)
    for image in kinds:
        for concept in np.flatnonzero(random.random(CONCEPTS) < 0.4):
            image[random.random(image.shape) < random.uniform(0.02, 0.2)] = concept
    return kinds


class Pair:
    """The page of two SAEs below `folder`, with all that went into it.

    order: of the right SAE's features. grids: patches per side of either backbone. frames: of
    `FRAMES`. orders: of tokens. names: the ids of the right side's images, by number.
    """

    def __init__(
        self, folder, order=(3, 1, 0, 2, 7, 6, 5, 4), dead=2, grids=(14, 14),
        frames=("whole", "whole"), orders=("raster", "raster"), labels=None, settings=None,
        shuffled=False,
    ):  # fmt: skip
        random = np.random.default_rng(7)
        self.folder, self.order = folder / "page", order
        self.kinds = painted_concepts(random)
        self.labels = np.arange(IMAGES) % 3 if labels is None else np.asarray(labels)
        colours = random.integers(60, 255, (CONCEPTS + 1, 3)).astype(np.uint8)
        self.paths = {}
        for number, kinds in enumerate(self.kinds):
            name = f"image-{number:06d}"
            self.paths[name] = folder / f"{number}.png"
            pixels = colours[kinds].repeat(SIDE // 14, axis=0).repeat(SIDE // 14, axis=1)
            Image.fromarray(pixels).save(self.paths[name])
        models = concept_sae(range(CONCEPTS)), concept_sae(order, dead)
        self.sides = [
            self._side(
                folder,
                which,
                models[which],
                grids[which],
                frames[which],
                orders[which],
                shuffled and which == 1,
            )
            for which in (0, 1)
        ]
        self.settings = SETTINGS | (settings or {})
        self.findings = find_matches(*self.sides, self.settings, seed=3)

    def _side(self, folder, which, model, grid, frame, order, shuffled):
        random = np.random.default_rng(which)
        step = 14 // grid
        kinds = self.kinds[random.permutation(IMAGES)] if shuffled else self.kinds
        tokens = []
        for number, of_image in enumerate(kinds[:, ::step, ::step]):
            strength = random.uniform(0.5, 1.5) + random.uniform(-0.1, 0.1, (grid, grid))
            one_hot = np.concatenate([np.eye(CONCEPTS), np.zeros((1, CONCEPTS))])[of_image]
            own = (one_hot * strength[..., None]).reshape(-1, CONCEPTS)
            tokens.append(in_order(own, order, f"image-{number:06d}"))
        sae = SavedSae(model, {}, f"{which}" * 16)
        (folder / f"{which}").mkdir()
        cache = write_cache(
            folder / f"{which}", np.stack(tokens).astype(np.float16), grid=(grid, grid),
            labels=self.labels, token_order=order, preprocessing=FRAMES[frame].record(),
            statistics=False,
        )  # fmt: skip
        reductions = folder / f"{which}/s.h5"
        with ActivationCache(cache) as opened:
            encode(opened, sae, reductions)
        return Side(f"toy{which}/layer3/s", sae, cache, reductions, SEED)

    def write(self):
        """Write the page; returns this."""
        files = {name: self.folder / name for name in (*MATCH_FILES, "images")}
        about = {
            **{"study": "toy", "split": "photographs/val", "report": "../report/index.html"},
            **{"quantile": 0.95, "shuffles": 3},
            "sides": [
                {"sae": f"s{which}", "backbone": f"toy{which}", "label": f"Toy <{which}>",
                 "layer": 3, "page": "../f/index.html" if which else None}
                for which in (0, 1)
            ],
        }  # fmt: skip
        names = ["a", "b", "c & d"]
        write_match_page(files, about, self.sides, self.findings, self.paths, names)
        return self

    def data(self, name):
        """What a script hands to the page."""
        text = (self.folder / f"{name}.js").read_text("utf-8")
        return json.loads(text.partition(" = ")[2].removesuffix(";\n"))
