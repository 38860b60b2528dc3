"""M2."""

from visae.evals.entry import METRIC, SAES, Eval, Needs

ENTRY = Eval(
    kind=METRIC,
    number=2,
    label="FVU",
    paper="section 4.2, Eq. 4; Table 2",
    definition=(
        "Σ‖x − x̂‖² / Σ‖x − x̄‖² over all patch tokens of the evaluation set, x̄ the mean vector"
    ),
    higher_is_better=False,
    of={SAES: Needs(reads=("errors", "raw"))},
    signed_codes=True,
    protocol=lambda config, settings: (
        "over all patch tokens; with mean L0, dead and dense features"
    ),
    arrays=True,
)
