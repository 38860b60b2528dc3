"""Image retrieval."""

from visae.evals.entry import RAW, SAES, TASK, Eval, Needs

ENTRY = Eval(
    kind=TASK,
    number=1,
    label="Retrieval",
    paper="section 4.5 (H3), Appendix O",
    definition=(
        "R@1: share of the held-out evaluation images whose nearest other held-out image (cosine "
        "of features max-pooled over patches) is of the same class"
    ),
    labels=True,
    of={
        RAW: Needs(reads=("raw", "probe_split"), gpu=True, megabytes=16000),
        SAES: Needs(
            reads=("codes", "reconstructions", "probe_split"),
            gpu=True,
            megabytes=32000,
            minutes=480,
        ),
    },
    by_default=True,
)
