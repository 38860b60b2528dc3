"""What the page of two SAEs shows: their matches, and the images of some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from visae.audit.matching import Matches, correlations, match
from visae.audit.sides import Side, common_images
from visae.base.arrays import Bool, Float, Int

KINDS = ("images", "patches")
"""What codes are correlated over: pooled codes over images, codes over patches."""

_IMAGES = 16
"""Images on which a feature fires that are enough to see what it fires on."""


class Shown(NamedTuple):
    """A match on its images: those of the left feature's largest codes, then those of the right."""

    images: Int[np.ndarray, " n"]
    """Numbers among the common images."""
    maps: tuple[Float[np.ndarray, "n H W"], Float[np.ndarray, "n h w"]]
    """Both features' codes on them, in raster order."""
    top: tuple[list[int], list[int]]
    """Places in `images` of either feature's images, from the largest code downwards."""

    @property
    def apart(self) -> float:
        """Share of patches on which both are silent: what fires everywhere shows nothing."""
        return 1 - max(float((maps > 0).mean()) for maps in self.maps)

    def together(self) -> list[int]:
        """Places in `images`, those first on which both features fire most."""
        shares = [maps.max(axis=(1, 2)) / maps.max() for maps in self.maps]
        return np.argsort(-sum(shares), kind="stable").tolist()


@dataclass(frozen=True)
class MatchFindings:
    """What was found of two SAEs. A row is a pair of features; rows fall by `strength`."""

    common: tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]
    """Numbers of the common images in either cache."""
    matches: dict[str, Matches]
    """Of each of `KINDS` that can be compared."""
    apart: str | None
    """Why codes on patches are not compared; None where they are."""
    pairs: Int[np.ndarray, "m 2"]
    """Matches above the control, by one kind at least."""
    strength: dict[str, Float[np.ndarray, " m"]]
    """Kind → correlation of these, also where another kind found them."""
    above: dict[str, Bool[np.ndarray, " m"]]
    """Kind → whether it found them."""
    shown: dict[int, Shown]
    """Row → its images, the one that is seen first at the start."""

    @property
    def best(self) -> int | None:
        """The row that is seen first; None where there is none."""
        return next(iter(self.shown), None)


def find_matches(
    left: Side, right: Side, settings: dict[str, Any], seed: int, threads: int = 1
) -> MatchFindings:
    """The `MatchFindings` of two open SAEs.

    settings: the config's section `matches`. seed: of the control's shuffles. Raises UserError
    where the SAEs have fewer than two images in common.
    """
    sides, names = (left, right), (left.name, right.name)
    common = common_images(left.cache.image_ids, right.cache.image_ids, names)
    codes = {"images": (left.pooled(common[0]), right.pooled(common[1]))}
    apart = _apart(left, right, settings)
    if apart is None:
        chosen = _spread(settings["patch_images"], len(common[0]))
        codes["patches"] = left.patches(common[0][chosen]), right.patches(common[1][chosen])
    patches = {"images": 1, "patches": left.cache.info.patches}
    shuffles, quantile = settings["shuffles"], settings["quantile"]
    matches = {
        kind: match(*of_both, shuffles, quantile, seed, patches[kind], threads)
        for kind, of_both in codes.items()
    }
    found = [of_kind.pairs[of_kind.above] for of_kind in matches.values()]
    pairs = np.unique(np.concatenate(found), axis=0)
    strength = {kind: correlations(*of_both, pairs) for kind, of_both in codes.items()}
    order = np.argsort(-strength["images"], kind="stable")
    pairs = pairs[order]
    strength = {kind: values[order] for kind, values in strength.items()}
    margins = {kind: _margins(matches[kind], pairs) for kind in matches}
    above = {kind: values > 0 for kind, values in margins.items()}
    interest = sum(margins.values()) * _telling(sides, pairs)
    rows = _chosen(interest, settings["shown"])
    shown = _on_images(sides, common, {row: pairs[row] for row in rows}, settings["top_images"])
    rows.sort(key=lambda row: -interest[row] * shown[row].apart)
    shown = {row: shown[row] for row in rows}
    return MatchFindings(common, matches, apart, pairs, strength, above, shown)


def _apart(left, right, settings):
    """Why codes on patches cannot be compared, a clause, or None."""
    if not settings["patch_images"]:
        return "matches.patch_images is 0"
    if left.grid != right.grid:
        (rows, columns), (others, across) = left.grid, right.grid
        return f"the grids of patches differ: {rows} × {columns} and {others} × {across}"
    return None


def _spread(number, of):
    """At most `number` places, evenly spread over `of`."""
    number = min(number, of)
    return (2 * np.arange(number) + 1) * of // (2 * number)


def _margins(matches, pairs):
    """float64 [m]: how far each pair is above the control of a kind, 0 where it is no match."""
    known = dict(zip(map(tuple, matches.pairs.tolist()), range(len(matches.pairs)), strict=True))
    margin = np.append(np.maximum(matches.strength - matches.threshold, 0), 0.0)
    return margin[[known.get(tuple(pair), -1) for pair in pairs.tolist()]]


def _telling(sides, pairs):
    """float64 [m]: how much a pair's images can tell, from 0 to 1.

    A feature that fires nearly everywhere, or on a few images only, shows little on them.
    """
    both = list(zip(sides, pairs.T, strict=True))
    frequency = np.maximum(*(side.table.frequency[features] for side, features in both))
    images = np.minimum(*(side.table.images[features] for side, features in both))
    rare = np.minimum(-np.log10(frequency) / 2, 1)  # on 1 % of patches, or less
    return rare * np.minimum(images / _IMAGES, 1)


def _chosen(interest, number):
    """Rows that are shown on images: those of the largest interest, and others evenly spread.

    In turn, the former first. interest: [m], rows by falling strength; the product of how far they
    are above the control and of how much their images tell.
    """
    number = min(number, len(interest))
    furthest = np.argsort(-interest, kind="stable")
    spread = _spread(number, len(interest)) if number else []
    chosen = dict.fromkeys(int(row) for pair in zip(furthest, spread, strict=False) for row in pair)
    return list(chosen)[:number]


def _on_images(sides, common, pairs, number):
    """{row: `Shown`} of {row: (left, right)}; number: images of either feature."""
    images, top = {}, {}
    for row, pair in pairs.items():
        own = [
            _top_images(side, feature, of_side, number)
            for side, feature, of_side in zip(sides, pair, common, strict=True)
        ]
        images[row] = np.array(list(dict.fromkeys([*own[0], *own[1]])), np.int64)
        place = {image: place for place, image in enumerate(images[row].tolist())}
        top[row] = tuple([place[image] for image in of_side] for of_side in own)
    maps = [
        _maps(side, of_side, {row: pair[which] for row, pair in pairs.items()}, images)
        for which, (side, of_side) in enumerate(zip(sides, common, strict=True))
    ]
    return {row: Shown(images[row], tuple(m[row] for m in maps), top[row]) for row in pairs}


def _maps(side, numbers, features, images):
    """{row: codes [n, H, W]} of a feature on common images for each row; one may be in several."""
    wanted = {}
    for row, feature in features.items():
        wanted.setdefault(int(feature), []).append(numbers[images[row]])
    wanted = {feature: np.unique(np.concatenate(parts)) for feature, parts in wanted.items()}
    maps = side.maps(wanted)
    return {
        row: maps[feature][np.searchsorted(wanted[feature], numbers[images[row]])]
        for row, feature in ((row, int(feature)) for row, feature in features.items())
    }


def _top_images(side, feature, numbers, most):
    """Common images of a feature's largest codes, from the largest downwards."""
    largest = side.reductions.largest
    fires = largest.images[feature][largest.codes[feature] > 0]
    place = np.full(side.cache.images, -1)
    place[numbers] = np.arange(len(numbers))
    found = place[fires]
    return found[found >= 0][:most].tolist()
