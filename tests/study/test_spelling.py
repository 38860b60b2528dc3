"""The spelling of a config decides nothing: Snakemake compares the text of params."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study_fixtures import demo_config, paper_config

from visae.study import jobs
from visae.study.study import Study

# Names of one's own: their order is that in which they are shown, and the first sweep is the main.
NAMED = ("datasets", "backbones", "sweeps", "splits", "published")


def respelled(value, random, key=None, within_options=False):
    """`value` with keys in another order and numbers in another spelling."""
    if isinstance(value, dict):
        keys = list(value)
        if key not in NAMED or within_options:
            random.shuffle(keys)
        inside = within_options or key == "options"
        return {name: respelled(value[name], random, name, inside) for name in keys}
    if isinstance(value, list):
        return [respelled(item, random, key, within_options) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float) or within_options:
        return value
    return random.choice(
        [value, float(value), f"{value:e}" if value == float(f"{value:e}") else value]
    )


@pytest.mark.parametrize("written", [demo_config, paper_config])
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_permuted_and_respelled_it_is_the_same_to_the_letter(written, random):
    study, other = Study(written()), Study(respelled(copy.deepcopy(written()), random))
    assert repr(other.config) == repr(study.config)
    assert repr(other.saes()) == repr(study.saes())
    for one, same in zip(study.sweeps.values(), other.sweeps.values(), strict=True):
        assert repr(same) == repr(one)
        assert repr(other.training_settings(same)) == repr(study.training_settings(one))
    assert repr(jobs.extraction(other)) == repr(jobs.extraction(study))


def test_a_librarys_options_keep_their_types():
    config = demo_config()
    config["backbones"]["dino_small"]["options"] = {"b": 1.0, "a": 1, "eps": "1e-6", "name": "e5"}
    options = Study(config).backbones["dino_small"]["options"]
    assert repr(options) == repr({"a": 1, "b": 1.0, "eps": 1e-6, "name": "e5"})
