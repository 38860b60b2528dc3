"""All that the pages of one SAE show, looked up: features, their images and what is like them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch

from visae.audit import choice
from visae.audit.feature_table import FeatureTable, nearest, nearest_by_decoder, read_table
from visae.audit.patch_maps import check_same, in_raster_order, patch_maps, read_images
from visae.audit.queries import Query, features_of_query
from visae.images.decoding import load_image

ALIKE = 6
"""Features that are named as most like one."""

QUERY_IMAGES = 4
"""Top images of a feature that is shown only because a query asks for it."""


class Shown(NamedTuple):
    """One image of a feature."""

    image: int
    """Its number in the cache."""
    map: np.ndarray
    """Codes float32 [H, W], each where its patch lies in the image."""


class Examples(NamedTuple):
    """One feature that is shown on its images."""

    why: list
    """How it came to be shown."""
    bands: dict
    """Band (of `choice.BANDS`) → `Shown` images, from the largest code downwards."""
    by_decoder: list
    """(feature, cosine of the decoder rows), the most similar first."""
    by_images: list
    """(feature, Jaccard index of the images on which they fire), the largest first."""


@dataclass(frozen=True)
class Findings:
    """What was looked up of one SAE."""

    table: FeatureTable
    values: dict
    """Short name of a metric → its value per feature [F], NaN where there is none."""
    examples: dict
    """Feature → its `Examples`."""
    queries: list
    """`Query`s."""


def look_up(sae, cache, reductions, values, image_paths, pictures, settings, named, seed):
    """The `Findings` of one SAE.

    sae: the `SavedSae`. cache, reductions: open, of one split. values: see `Findings`. image_paths:
    image id → file. pictures: [(name, PIL image, activations [P, D] in raster order), …] to ask
    about, besides `settings["queries"]` images of the split. settings: the config's section
    `features`. named: features that are shown in any case. seed: the backbone's.

    Raises UserError when files do not belong together, or a named feature is dead or not there.
    """
    check_same(reductions, cache, sae)
    whose = f"{cache.info.backbone}/layer{cache.info.layer}/{reductions.sae}"
    where = "image of the evaluation split (features.csv lists the live ones)"
    choice.check_named(named, reductions.largest.live, whose, "features.named", where)
    whys = {feature: ["named"] for feature in named}
    by_rule = choice.by_rule(settings["shown"], reductions.firing_count, values)
    for feature, why in by_rule.items():
        whys.setdefault(feature, []).append(why)
    queries = [
        *_own_queries(sae.model, cache, image_paths, settings["queries"], seed),
        *(Query(name, image, _sparse(sae.model, tokens)) for name, image, tokens in pictures),
    ]
    live_f, asked = reductions.largest.live, {}
    for query in queries:
        for feature in features_of_query(query.codes, settings["query_features"]):
            if live_f[feature]:
                asked.setdefault(feature, []).append(f"asked for by {query.name}")
    chosen = sorted({*whys, *asked})
    table = read_table(reductions, chosen)
    images = {f: _images_of(f, f in whys, reductions, settings) for f in chosen}
    maps = patch_maps(sae.model, {f: _joined(bands) for f, bands in images.items()}, cache)
    by_decoder = nearest_by_decoder(sae.model.decoder_weight.numpy(), chosen, live_f, ALIKE)
    by_images = nearest(table.jaccard(chosen), chosen, live_f, ALIKE)
    examples = {}
    for feature, decoder, together in zip(chosen, by_decoder, by_images, strict=True):
        numbers = _joined(images[feature])
        placed = in_raster_order(
            maps[feature], [cache.image_ids[n] for n in numbers], cache.info, seed
        )
        shown = iter([Shown(int(n), map_hw) for n, map_hw in zip(numbers, placed, strict=True)])
        examples[feature] = Examples(
            why=[*whys.get(feature, []), *asked.get(feature, [])],
            bands={band: [next(shown) for _ in n] for band, n in images[feature].items()},
            by_decoder=decoder,
            by_images=together,
        )
    return Findings(table, values, examples, queries)


def _images_of(feature, whole, reductions, settings):
    """{band: numbers of images} of a feature; the top ones alone of one that a query asked for."""
    codes = reductions.largest.codes[feature]
    top = reductions.largest.images[feature][codes > 0]
    if not whole:
        return {"top": top[:QUERY_IMAGES]}
    top = top[: settings["top_images"]]
    return choice.bands_of(reductions.codes[feature], top, settings["band_images"])


def _joined(bands):
    return np.concatenate(list(bands.values()))


def _own_queries(sae, cache, image_paths, number, seed):
    """`Query`s of images of the split, evenly spaced in its order."""
    number = min(number, cache.images)
    chosen = [(2 * place + 1) * cache.images // (2 * number) for place in range(number)]
    found = []
    for image, activations_pd in read_images(cache, chosen):
        image_id = cache.image_ids[image]
        codes = _sparse(sae, torch.from_numpy(activations_pd))
        places = np.arange(cache.info.patches).reshape(1, *cache.info.grid)
        order = in_raster_order(places, [image_id], cache.info, seed).ravel()
        found.append(Query(image_id, load_image(image_paths[image_id]), codes[order]))
    return found


def _sparse(sae, activations_pd):
    """Codes of activations [P, D]: sparse float32 [P, F]."""
    return scipy.sparse.csr_array(sae.encode(sae.normalise(activations_pd)).numpy())
