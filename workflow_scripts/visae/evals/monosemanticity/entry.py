"""M5."""

from visae.evals.entry import IMAGES, METRIC, SAES, AsRun, Eval, Most, Needs


def _protocol(config, settings):
    return (
        f"top {settings['top_images']} images of up to {settings['features']} live features; "
        "weighted mean pairwise cosine in another backbone's space (Table 5); baseline of "
        f"{settings['baseline_groups']} random groups"
    )


ENTRY = Eval(
    kind=METRIC,
    number=5,
    label="Monosemanticity",
    paper="section 4.3, Eq. 5; Appendix K, Table 5",
    definition=(
        "(s - s_random) / (1 - s_random), s the mean over features of the weighted mean pairwise "
        "cosine of their top {top_images} images in the evaluator's mean-pooled patch embeddings, "
        "s_random that of random groups"
    ),
    as_run=AsRun(
        definition=(
            "s − s_random, s as in the value, s_random the mean pairwise cosine of random groups "
            "drawn from the images that are a top image of a scored feature"
        )
    ),
    switches={
        "difference to the baseline": ("headline", "as_run"),
        "baseline groups of top images": ("baseline", "as_run_baseline"),
    },
    of={SAES: Needs(reads=("codes", "embeddings"))},
    # The paper's pairing confounds backbone and evaluator; the full table separates them.
    variants={
        "in_every_space": Needs(
            reads=("codes", "every_embedding"),
            megabytes=16000,
            minutes=240,
            minutes_per_gigabyte=0,
        )
    },
    settings={
        "features": {
            "description": "Largest number of live features scored, drawn at random",
            "type": "integer",
            "minimum": 1,
            "default": 2048,
        },
        "top_images": {
            # As many as `visae.encoding.largest.TOP` keeps.
            "description": "Most activating images per feature",
            "type": "integer",
            "minimum": 2,
            "maximum": 16,
            "default": 16,
        },
        "baseline_groups": {
            "description": "Random image groups of the baseline",
            "type": "integer",
            "minimum": 1,
            "default": 1000,
        },
    },
    most={"top_images": Most(of=IMAGES, beyond="every image would be among those of each feature")},
    protocol=_protocol,
    arrays=True,
)
