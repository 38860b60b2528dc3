"""The control of M1: what is read when the order of the patches is lost.

Under a random order of P patches Moran's I has mean −1/(P − 1) and, per map, a known standard
deviation (Cliff and Ord, "Spatial Processes", 1981, randomisation assumption). A feature's score
averages I over n images, so that the scores of features without any structure have an
interquartile range of 1.349 · sd / √n.
"""

import math

from visae.tables.layout import Column, Table

_NORMAL_IQR = 1.349  # interquartile range of a normal distribution of standard deviation 1


def permutation_sd(grid, kurtosis=3.0):
    """Standard deviation of Moran's I of one map under random order of its patches.

    `grid` is (H, W) with binary queen weights; `kurtosis` is m₄ / m₂² of the map's values: 3 for
    normal values, about P/m for m equal active patches among P.
    """
    height, width = grid
    n = height * width
    pairs = 2 * (height * (width - 1) + width * (height - 1) + 2 * (height - 1) * (width - 1))
    s1 = 2 * pairs  # ½ Σ (w_ij + w_ji)², weights 0 or 1
    degrees = [
        (3 - (row in (0, height - 1))) * (3 - (column in (0, width - 1))) - 1
        for row in range(height)
        for column in range(width)
    ]
    s2 = 4 * sum(degree**2 for degree in degrees)
    second_moment = (
        n * ((n**2 - 3 * n + 3) * s1 - n * s2 + 3 * pairs**2)
        - kurtosis * ((n**2 - n) * s1 - 2 * n * s2 + 6 * pairs**2)
    ) / ((n - 1) * (n - 2) * (n - 3) * pairs**2)
    return math.sqrt(second_moment - 1 / (n - 1) ** 2)


def token_order_table(arms):
    """One row per arm of the control, beside what a random order of patches predicts.

    `arms` is a list of {`arm` (its name), `backbone`, `token_order` (raster, permuted or
    published), `grid`, `mean` and `iqr` (M1 over features), `raw_mean` and `raw_z` (Table 4),
    `images` (median evaluable images per feature)}; what is unknown is None. Order is kept.
    """
    lines = []
    for arm in arms:
        patches = math.prod(arm["grid"])
        sd = permutation_sd(arm["grid"])
        known = arm["images"] is not None
        lines.append(
            {
                **{key: arm[key] for key in ("arm", "backbone", "token_order", "mean", "iqr",
                                             "raw_mean", "raw_z", "images")},
                "patches": patches,
                "permuted_mean": -1 / (patches - 1),
                "permuted_sd": sd,
                "permuted_iqr": _NORMAL_IQR * sd / math.sqrt(arm["images"]) if known else None,
            }
        )  # fmt: skip
    return Table(
        "Token order: M1 with patches in raster order and permuted",
        (
            Column("arm", "Arm"),
            Column("backbone", "Backbone"),
            Column("token_order", "order"),
            Column("patches", "patches"),
            Column("mean", "M1", digits=4),
            Column("iqr", "IQR", digits=4),
            Column("raw_mean", "raw I", digits=4),
            Column("raw_z", "raw z", digits=2),
            Column("images", "images"),
            Column("permuted_mean", "if random: mean", digits=4),
            Column("permuted_sd", "sd per image", digits=4),
            Column("permuted_iqr", "IQR", digits=4),
        ),
        lines,
        (
            "images: median number of evaluable images per feature. If random: Moran's I under a "
            "random order of patches, for maps of normal kurtosis; maps of few active patches "
            "deviate less.",
        ),
    )
