"""Recipes of one configuration: which sweeps they are, and means and spreads over seeds."""

import json
from copy import deepcopy

import pytest
from study_fixtures import demo_config

from visae.base.errors import UserError
from visae.plan import feasible
from visae.products import PRODUCTS
from visae.products.recipes_figure import make as figure
from visae.study import roles
from visae.study.study import Study
from visae.tables.recipes import recipes

CELL = {"expansion_factor": [4], "k": [24]}


def config_of(**sweeps):
    """The demo's config with `sweeps` besides its main one; each on two backbones."""
    config = demo_config()
    config["sweeps"] = {"main": config["sweeps"]["main"]}
    for name, entry in sweeps.items():
        common = {"backbones": ["dino_small", "mae_small"], "grid": CELL, "family": "batchtopk"}
        config["sweeps"][name] = common | {"variant": name} | entry
    return config


FALLING = {"training": {"schedule": {"decay": 0.3}, "loss": "sum"}}
AGAIN = {"training": {"schedule": {"decay": 0.3}, "loss": "sum", "seed": 7}}
GATED = {"family": "gated", "grid": {"expansion_factor": [4], "target_l0": [24]}}
ELSEWHERE = {"training": {"loss": "sum"}, "layer": 1}
OTHER_SIZE = {"training": {"loss": "sum"}, "grid": {"expansion_factor": [2], "k": [24]}}
PENALTY = {"family": "relu", "grid": {"expansion_factor": [4], "l1": [24]}}


def test_sweeps_that_differ_in_the_seed_are_one_recipe():
    study = Study(config_of(falling=FALLING, again=AGAIN, gated=GATED))
    found = {each.name: each for each in roles.recipes(study)}
    assert list(found) == ["main", "falling", "gated"]
    assert found["falling"].sweeps == ("falling", "again")
    assert found["falling"].own == FALLING["training"]
    assert found["main"].own == {}
    assert found["gated"].family == "gated"


def test_what_is_said_as_it_is_anyway_makes_no_recipe():
    main = {"training": {"learning_rate": demo_config()["training"]["learning_rate"]}}
    steered = {"family": "jumprelu", "grid": GATED["grid"]}
    usual, other = {"recipe": "calibrated"}, {"recipe": "paper"}
    study = Study(
        config_of(said=main, steered=steered, usual=steered | usual, other=steered | other)
    )
    sweeps = [each.sweeps for each in roles.recipes(study)]
    assert sweeps == [("main", "said"), ("steered", "usual"), ("other",)]


def test_what_shares_no_configuration_is_no_recipe_of_it():
    alone = config_of(elsewhere=ELSEWHERE, size=OTHER_SIZE, penalty=PENALTY)
    assert roles.recipes(Study(alone)) == []
    for name in ("recipes_table", "recipes_figure"):
        assert PRODUCTS[name].missing(Study(alone)).startswith("needs two recipes")
    one = Study(config_of(elsewhere=ELSEWHERE, gated=GATED))
    assert [each.name for each in roles.recipes(one)] == ["main", "gated"]
    assert PRODUCTS["recipes_table"].missing(one) is None


def test_what_is_read_and_depended_on_is_of_these_sweeps():
    study = Study(config_of(falling=FALLING, again=AGAIN, elsewhere=ELSEWHERE))
    product = PRODUCTS["recipes_table"]
    read = product.reads(study, study.paths)["scores"]
    assert read == [study.paths.scores(name) for name in ("main", "falling", "again")]
    said = product.settings(study)["recipes"]
    assert json.dumps(said)
    assert [each["own"] for each in said] == [
        "",
        "loss sum; schedule linear fall to 0 over the last 30%",
    ]


def row(sweep, sae, metric, value, reading="headline", **changes):
    about = {"backbone": "dino_small", "layer": 3, "expansion_factor": 4, "k": 24}
    about |= {"sweep": sweep, "sae": sae, "metric": metric, "reading": reading, "value": value}
    return about | changes


CHOSEN = [
    {"name": "main", "family": "BatchTopK", "own": "", "sweeps": ["main"]},
    {"name": "falling", "family": "BatchTopK", "own": "loss sum", "sweeps": ["falling", "again"]},
]
TITLES = {"fvu": "FVU", "localization": "M1"}
ROWS = [
    row("main", "a", "fvu", 0.4),
    row("main", "a", "fvu", 24.1, "mean_l0"),
    row("main", "a", "fvu", 0.25, "dead_fraction"),
    row("main", "a", "localization", None),
    row("main", "wide", "fvu", 0.1, expansion_factor=8),
    row("falling", "b", "fvu", 0.2),
    row("again", "c", "fvu", 0.3),
    row("falling", "b", "localization", 0.5),
    row("again", "c", "localization", None),
    row("other", "d", "fvu", 9.0),
    row("falling", "e", "fvu", 9.0, backbone="mae_small"),
    row("main", "f", "fvu", 9.0, k=None),  # which size these two are of is unknown
    row("falling", "g", "fvu", 9.0, k=None),
]


def test_means_and_spreads_over_seeds():
    table = recipes(ROWS, CHOSEN, TITLES)
    main, falling = table.rows  # what one recipe alone has is left out
    assert (main["recipe"], main["seeds"], main["own"]) == ("main", 1, None)
    assert (main["fvu"], main["fvu_spread"], main["mean_l0"]) == (0.4, None, 24.1)
    assert (main["dead_fraction"], main["localization"]) == (0.25, None)
    assert (falling["seeds"], falling["own"]) == (2, "loss sum")
    assert falling["fvu"] == pytest.approx(0.25)
    assert falling["fvu_spread"] == pytest.approx(0.1)
    assert (falling["localization"], falling["localization_spread"]) == (0.5, None)
    assert falling["mean_l0"] is None
    keys = {column.key for column in table.columns}
    assert all(keys == set(line) for line in table.rows)


def test_the_figure_has_a_row_per_recipe_and_panels_with_values():
    rows = recipes(ROWS, CHOSEN, TITLES).rows
    drawn = figure.draw(rows, TITLES, figure.style.backbone_styles({"dino_small": "DINO"}))
    panels = [axes for axes in drawn.axes if axes.axison]
    assert [axes.get_xlabel() for axes in panels] == ["M2: FVU", "dead features", "L0", "M1"]
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    assert names == ["main", "falling"]
    drawn_at = sorted(line.get_xdata()[0] for line in panels[0].lines if len(line.get_xdata()) == 1)
    assert drawn_at == pytest.approx([0.25, 0.4])


class Measured:
    """A backbone's geometry, as far as checks ask for it."""

    width, patches, flops = 96, 64, [1] * 4


class Counted:
    """1,000 images, for certain."""

    images, source = 1000, "index"


@pytest.mark.parametrize(
    "training, sentence",
    [
        (
            {"auxiliary": {"dead_after": 192_000}},
            "falling.training.auxiliary.dead_after is 192,000 tokens, but a run on dino_small has "
            "192,000, so that no feature could be dead before its end: lower it",
        ),
        ({"auxiliary": {"dead_after": 9, "k": 361}}, "at most 360 of the 384 features"),
        ({"auxiliary": {"dead_after": 191_999, "k": 360}}, None),
    ],
)
def test_a_run_that_ends_before_a_feature_can_be_dead_is_refused(training, sentence):
    config = deepcopy(config_of(falling={"training": training}))
    config["training"]["epochs"] = 3

    def check():
        study = Study(config, check=False)
        geometries = dict.fromkeys(study.backbones, Measured)
        feasible.check(study, geometries, {study.training.name: Counted})

    if sentence is None:
        check()
    else:
        with pytest.raises(UserError) as error:
            check()
        assert sentence in str(error.value)


@pytest.mark.parametrize(
    "entry, sentence",
    [
        ({"training": {"schedule": {"decay": 2}}}, "sweeps.falling.training: schedule.decay"),
        ({"training": {"prefixes": [1]}}, "sweeps.falling.training: prefixes is for SAEs of"),
        ({"training": {"batch_size": 9}}, "unknown key 'batch_size'"),
        ({"training": {"loss": "sum"}, "variant": None}, "variant"),
        ({"training": {"loss": "sum"}, "variant": "Loss"}, "variant"),
    ],
)
def test_mistakes_in_a_sweeps_training_are_told_in_one_sentence(entry, sentence):
    with pytest.raises(UserError) as error:
        Study(config_of(falling=entry))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_every_sae_has_its_own_settings_in_a_group_of_sweeps():
    """Sweeps on the same activations are trained by one job: two recipes of one family, too."""
    from visae.sae.specs import TrainingSettings
    from visae.study import jobs

    steered = {"family": "jumprelu", "grid": {"expansion_factor": [4], "target_l0": [24]}}
    study = Study(
        config_of(
            falling=FALLING,
            again=AGAIN,
            papers=steered | {"recipe": "paper"},
            calibrated=steered | {"recipe": "calibrated"},
        )
    )
    (group,) = [g for g in jobs.trained_together(study) if "falling" in g.origins.values()]
    settings = TrainingSettings(**study.training_settings(group))
    by_origin = {group.origins[spec.name]: settings.of(spec) for spec in group.saes}
    assert by_origin["falling"].loss == "sum"
    assert (by_origin["falling"].seed, by_origin["again"].seed) == (42, 7)
    assert by_origin["falling"].schedule.decay == 0.3
    assert by_origin["papers"].recipe("jumprelu") == "paper"
    assert by_origin["calibrated"].recipe("jumprelu") == "calibrated"
    assert by_origin["papers"].loss == "mean"
