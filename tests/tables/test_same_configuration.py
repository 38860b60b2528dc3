"""SAEs of one configuration: which count, and how far they lie apart."""

import statistics

import pytest

from visae.tables.same_configuration import same_configuration


def row(sae, value, k=8, **over):
    return {
        "metric": "fvu",
        "backbone": "clip",
        "layer": 11,
        "family": "topk",
        "expansion_factor": 4,
        "sparsity": k,
        "reading": "headline",
        "sae": sae,
        "value": value,
    } | over


def test_what_is_the_same_is_told_and_nothing_else():
    values = {"topk_4x_k8": 0.2, "topk_4x_k8_seed_1": 0.25, "mine": 0.3}
    rows = [row(sae, value) for sae, value in values.items()]
    rows += [row("topk_4x_k16", 0.1, k=16), row("alone", 0.4, backbone="mae")]
    rows += [row("unknown", 0.5, k=None), row("empty", None), row("mine", 9.0, reading="raw")]
    [line] = same_configuration(rows).rows
    assert line["saes"] == "mine, topk_4x_k8, topk_4x_k8_seed_1"
    assert line["mean"] == pytest.approx(0.25)
    assert line["sd"] == pytest.approx(0.05)
    assert (line["low"], line["high"]) == (0.2, 0.3)
    assert line["others_sd"] == pytest.approx(statistics.stdev([0.25, 0.1]))


def test_one_configuration_has_no_others():
    [line] = same_configuration([row("a", 0.2), row("b", 0.3)]).rows
    assert line["others_sd"] is None
