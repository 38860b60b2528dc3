"""The numbers of the paper's protocol (Table 2, Appendices A, I, K, L), where a call gives none.

A constant or a default that is changed moves every score and fails nothing else.
"""

import inspect
import math

import pytest

from visae.encoding import largest, raw_pass, sae_pass
from visae.evals.absorption import compute as absorption
from visae.evals.absorption.entry import ALPHAS, BETAS
from visae.evals.classification import compute as classification
from visae.evals.cross_domain import compute as cross_domain
from visae.evals.entry import defaults
from visae.evals.fvu import compute as fvu
from visae.evals.localization import compute as localization
from visae.evals.monosemanticity import compute as monosemanticity
from visae.evals.retrieval import compute as retrieval
from visae.evals.segmentation import compute as segmentation
from visae.evals.segmentation.heads import HeadSettings
from visae.evals.shelf import EVALS
from visae.evals.sparse_probing import compute as sparse_probing
from visae.probing import limits, logistic_regression, multinomial, one_vs_rest, rankings, siblings
from visae.probing.splits import stratified_split
from visae.sae import concerns, threshold
from visae.sae.choices import HALVES, Auxiliary, Resampling, Schedule
from visae.sae.families.jumprelu import trainer as jumprelu
from visae.sae.specs import TrainingSettings
from visae.tables import statistics

DOUBLING = tuple(2**i for i in range(11))


def given(function):
    """The defaults of a function's numbers."""
    parameters = inspect.signature(inspect.unwrap(function)).parameters.values()
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if isinstance(parameter.default, int | float | tuple) and parameter.default != ()
    }


@pytest.mark.parametrize(
    ("function", "numbers"),
    [
        (stratified_split, {"test_fraction": 0.2, "seed": 42}),
        (localization.localization, {"headline_minimum": 5, "minimum_images": 50}),
        (
            monosemanticity.monosemanticity,
            {"seed": 42, "max_features": 2048, "top": 16, "baseline_groups": 1000},
        ),
        (monosemanticity.top_images, {"max_features": 2048, "top": 16}),
        (absorption.absorption, {"alpha": 0.8, "beta": 0.5, "processes": 1}),
        (sparse_probing.sparse_probing, {"budgets": DOUBLING, "processes": 1}),
        (cross_domain.accuracy_within, {"seed": 42}),
        (
            cross_domain.domain_reading,
            {"processes": 1, "seed": 42, "one_vs_rest_classes": 1000},
        ),
        (classification.classify_by_codes, {"seed": 42}),
        (segmentation.segment_raw, {"seed": 42}),
        (segmentation.segment_sae, {"seed": 42, "memory": 4 * 2**30}),
        (multinomial.fit_probe, {"max_iter": 500, "seed": 42}),
        (one_vs_rest.nested_probes, {"max_iter": 500}),
        (rankings.rank_features, {"size": 1024}),
        (raw_pass.reduce_raw, {"minimum_active": (1, 5, 20), "variance_floor": 1e-8, "threads": 1}),
        (
            sae_pass.encode_activations,
            {"minimum_active": (1, 5, 20), "variance_floor": 1e-8, "threads": 1},
        ),
        (statistics.eta_squared_intervals, {"resamples": 2000}),
    ],
)
def test_defaults_of_functions(function, numbers):
    assert given(function) == numbers


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("absorption", {"alpha": 0.8, "beta": 0.5}),
        ("cross_domain", {"one_vs_rest_classes": 1000}),
        (
            "localization",
            {"minimum_active": [5, 1, 20], "minimum_images": 50, "variance_floor": 1e-8},
        ),
        ("monosemanticity", {"features": 2048, "top_images": 16, "baseline_groups": 1000}),
        ("sparse_probing", {"budgets": list(DOUBLING)}),
    ],
)
def test_defaults_of_settings(name, settings):
    assert settings.items() <= defaults(EVALS[name].settings).items()


def test_constants_of_metrics():
    assert fvu.DENSE_SHARE == 0.01
    assert (ALPHAS, BETAS) == ((0.7, 0.8, 0.9), (0.3, 0.5, 0.7))
    assert absorption.MAX_ITER == 500
    assert sparse_probing.HEADLINE_BUDGET == cross_domain.BUDGET == 128
    assert retrieval.CUTOFFS == (1, 5, 10)
    assert 1e-7 < retrieval.TIE <= 1e-6
    assert localization.CONTIGUITIES == ("queen", "rook")
    assert largest.TOP == 16
    # As recorded of the paper's public code (docs/as_run.md).
    ours = absorption.AS_RUN_GAIN, absorption.AS_RUN_IMAGES, absorption.AS_RUN_SIDE
    assert ours == (0.1, 10, 3)
    assert cross_domain.AS_RUN_HELD_OUT == 0.2


def test_constants_of_probes():
    assert (limits.MAX_ITER, limits.DOMAIN_MAX_ITER, limits.READOUT_MAX_ITER) == (1000, 500, 500)
    assert multinomial.ADAM_ABOVE_CLASSES == classification.MOST_CLASSES == 1000
    adam = multinomial.EPOCHS, multinomial._LEARNING_RATE, multinomial._WEIGHT_DECAY
    assert adam == (50, 1e-2, 1e-4)
    assert multinomial._BATCH == 2048
    assert vars(HeadSettings()) == {
        "epochs": 10, "batch": 2048, "learning_rate": 1e-2, "weight_decay": 1e-4
    }  # fmt: skip
    assert HeadSettings() == segmentation.HEAD
    assert HeadSettings(epochs=50) == classification.ADAM
    assert (siblings.MINIMUM_SIZE, rankings.SIBLING_FEATURES) == (3, 4)
    assert logistic_regression.TOLERANCE <= 5e-4
    assert rankings.TIE == 1e-12


def test_constants_of_training():
    assert vars(TrainingSettings()) == {
        "batch_size": 8192,
        "learning_rate": 1e-3,
        "epochs": 1,
        "seed": 42,
        "gradient_clip": 1.0,
        "loss": "mean",
        "precision": "float16",
        "log_interval": 100,
        "checkpoint_minutes": 10,
        "window_images": 1024,
        "ragged_images": None,
        "threshold_images": 1024,
        "threshold_rule": "quantile",
        "recipes": {},
        "adam_beta1": 0.9,
        "schedule": Schedule(warm_up=0.0, decay=0.0, shape="linear"),
        "encoder_from_decoder": None,
        "decoder_bias": "none",
        "decoder_gradient": "whole",
        "auxiliary": None,
        "prefixes": None,
        "random_prefixes": None,
        "resampling": None,
        "own": {},
    }
    assert vars(Auxiliary(1)) == {"dead_after": 1, "coefficient": 1 / 32, "k": None}
    assert vars(Resampling(1)) == {"every": 1, "until": 0.5}
    assert HALVES == (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
    assert (jumprelu.BANDWIDTH, jumprelu.KERNEL_REACH) == (1e-3, 40)
    paper, calibrated = jumprelu.RECIPES["paper"], jumprelu.RECIPES["calibrated"]
    assert (paper.threshold, paper.coefficient) == (math.exp(-3), 1e-2)
    assert (paper.integral, paper.proportional, paper.bound) == (0.01, 0.0, math.log(1e6))
    assert (calibrated.threshold, calibrated.coefficient) == (None, None)
    bound = math.log(1e3)
    assert (calibrated.integral, calibrated.proportional, calibrated.bound) == (0.01, 10.0, bound)
    assert (concerns.FEW_STEPS, concerns.MANY_DEAD, concerns.L0_APART) == (50, 0.9, 2.0)
    assert threshold.TOKENS_PER_BATCH == 2048


def test_constants_of_statistics():
    assert (statistics.BOOTSTRAP_RESAMPLES, statistics.BOOTSTRAP_LEVEL) == (2000, 0.95)
    assert statistics.BOOTSTRAP_MINIMUM_CONFIGURATIONS == 4
    assert statistics.EXACT_PERMUTATION_LIMIT == 9
