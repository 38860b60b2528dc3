"""M1."""

from visae.evals.entry import IMAGES, METRIC, PATCHES, SAES, Eval, Most, Needs, listed


def _protocol(config, settings):
    first, *others = settings["minimum_active"]
    return (
        f"8 neighbours; on an image at least {first} active patches (also {listed(others)}; "
        f"also 4 neighbours) and variance above {settings['variance_floor']:g}; at least "
        f"{settings['minimum_images']} such images per feature"
    )


ENTRY = Eval(
    kind=METRIC,
    number=1,
    label="Localization",
    paper="section 4.1, Eq. 2 and 3; Appendices F and G",
    definition=(
        "mean over evaluable features of their mean Moran's I over images (binary queen weights, "
        "all {patches} patches, at least {minimum_active} active patches per image and "
        "{minimum_images} images per feature)"
    ),
    of={SAES: Needs(reads=("moran",))},
    settings={
        "minimum_active": {
            "description": (
                "Active patches for a feature to be evaluable on an image; the first counts"
            ),
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 1,
            "default": [5, 1, 20],
        },
        "minimum_images": {
            "description": "Evaluable images for a feature to be evaluable",
            "type": "integer",
            "minimum": 1,
            "default": 50,
        },
        "variance_floor": {
            "description": "Smallest variance of a map for its Moran's I to be computed",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 1.0e-8,
        },
    },
    most={
        "minimum_active": Most(of=PATCHES, beyond="no image could count"),
        "minimum_images": Most(
            of=IMAGES,
            beyond="no feature could have a score",
            for_few=lambda images: max(2, images // 10),
        ),
    },
    protocol=_protocol,
    arrays=True,
)
