"""M2."""

from visae.evals.entry import METRIC, SAES, AsRun, Eval, Needs

ENTRY = Eval(
    kind=METRIC,
    number=2,
    label="FVU",
    paper="section 4.2, Eq. 4; Table 2",
    definition=(
        "Σ‖x − x̂‖² / Σ‖x − x̄‖² over all patch tokens of the evaluation set, x̄ the mean vector"
    ),
    as_run=AsRun(
        definition=(
            "(Σr²/n − (Σr/n)²) / (Σx²/n − (Σx/n)²), r = x − x̂, sums over the n patch tokens and "
            "over dimensions: the mean is subtracted as one number, not as a vector"
        )
    ),
    switches={"one mean for all dimensions": ("headline", "as_run")},
    higher_is_better=False,
    of={SAES: Needs(reads=("errors", "raw"))},
    signed_codes=True,
    protocol=lambda config, settings: (
        "over all patch tokens; with mean L0, dead and dense features"
    ),
    arrays=True,
)
