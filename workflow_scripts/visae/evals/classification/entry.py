"""Classification on every data set of M6."""

from visae.evals.entry import RAW, SAES, TASK, Eval, Needs

ENTRY = Eval(
    kind=TASK,
    number=3,
    label="Classification",
    paper="section 4.5 (H2, H4), Appendix O",
    definition=(
        "top-1 accuracy on the test split of a multinomial logistic regression on features "
        "max-pooled over patches, trained on the training split"
    ),
    data="cross_domain",
    labels=True,
    each=True,
    of={
        RAW: Needs(reads=("raw", "raw_probe"), gpu=True, megabytes=16000),
        SAES: Needs(
            reads=("codes",), after=("cross_domain",), gpu=True, megabytes=32000, minutes=480
        ),
    },
    by_default=True,
)
