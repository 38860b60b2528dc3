"""From patches of a picture to features: the codes of the patches are added up.

The way of Stevens et al., "Interpretable and Testable Vision Features via Sparse Autoencoders",
Figure 2: activations of each highlighted patch, their sparse codes, the sum, its largest entries.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from PIL import Image

from visae.base.errors import UserError

_RANKS = 16
"""Features of a patch that are ranked."""


class Query(NamedTuple):
    """A picture that is asked about."""

    name: str
    """An image id, or the name of a file."""
    picture: Image.Image
    """RGB, before the backbone's preprocessing."""
    codes: scipy.sparse.csr_array
    """float32 [P, F], patches in raster order."""


def rows_of(patches, grid):
    """Numbers in raster order of `patches`, which are (row, column), counted from 0.

    Raises UserError for a patch outside the grid (H, W).
    """
    height, width = grid
    for row, column in patches:
        if not (0 <= row < height and 0 <= column < width):
            raise UserError(
                f"patch ({row}, {column}) lies outside the {height} × {width} patches of an image: "
                f"rows are 0 to {height - 1}, columns 0 to {width - 1}"
            )
    return [row * width + column for row, column in dict.fromkeys(map(tuple, patches))]


def strongest(codes_f, number):
    """At most `number` features with the largest magnitudes of summed codes [F], none silent."""
    magnitude_f = np.abs(codes_f)
    order = np.argsort(-magnitude_f, kind="stable")[:number]
    return order[magnitude_f[order] > 0]


def features_of_query(codes_pf, number):
    """At most `number` features that come out of some patches: [feature, …].

    First those that are strongest on a patch or on the whole picture, then those that are second,
    and so on; of equal ranks the one with the larger sum. codes_pf: sparse [P, F].
    """
    total_f = np.abs(np.asarray(codes_pf.sum(axis=0)).ravel())
    rank = {int(feature): place for place, feature in enumerate(strongest(total_f, number))}
    for patch in range(codes_pf.shape[0]):
        part = slice(codes_pf.indptr[patch], codes_pf.indptr[patch + 1])
        ordered = codes_pf.indices[part][np.argsort(-np.abs(codes_pf.data[part]), kind="stable")]
        for place, feature in enumerate(ordered[:_RANKS]):
            rank[int(feature)] = min(place, rank.get(int(feature), place))
    return sorted(rank, key=lambda feature: (rank[feature], -total_f[feature]))[:number]
