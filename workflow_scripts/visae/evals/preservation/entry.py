"""M3."""

from visae.evals.entry import METRIC, SAES, AsRun, Eval, Needs
from visae.probing.limits import MAX_ITER


def _protocol(config, settings):
    held_out = f"{100 * config['evaluation']['test_fraction']:g} %"
    return (
        f"maxima over patches; stratified split, {held_out} held out, seed {config['seed']}; "
        f"multinomial logistic regression (lbfgs, C = 1, at most {MAX_ITER} iterations) fitted on "
        "raw features"
    )


def _work(probes, settings):
    images, classes = probes.training_set()
    probes.multinomial(images, probes.width, classes)


ENTRY = Eval(
    kind=METRIC,
    number=3,
    label="Preservation",
    paper="section 4.2, Table 2",
    definition=(
        "accuracy on reconstructed / accuracy on raw test features (max over patches) of one "
        "multinomial logistic regression trained on raw training features"
    ),
    as_run=AsRun(
        definition=(
            "accuracy of a probe fitted and scored on reconstructed features / accuracy of one "
            "fitted and scored on raw features (the reading `retrained`)"
        )
    ),
    labels=True,
    switches={"a probe for reconstructions": ("headline", "as_run")},
    of={SAES: Needs(reads=("reconstructions", "raw", "raw_probe", "probe_split"), gpu=True)},
    signed_codes=True,
    protocol=_protocol,
    work=_work,
)
