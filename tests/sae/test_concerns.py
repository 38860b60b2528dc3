"""What is said against an SAE, and that nothing is said against a sound one."""

import re

import pytest

from visae.sae.concerns import concerns, told

SOUND = {"steps": 5000, "passes": 1, "fvu": 0.2, "dead_fraction": 0.3, "l0": 65.0, "target": 64}


def test_nothing_speaks_against_a_sound_sae():
    assert concerns(**SOUND) == concerns() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 1}, r"1 step \(1 pass\) only"),
        ({"fvu": 1.07}, "FVU 1.07"),
        ({"fvu": 1.0}, "FVU 1.00"),
        ({"dead_fraction": 0.99}, "99% of the features are dead"),
        ({"l0": 200.0}, "L0 is 200 for a target of 64"),
        ({"l0": 0.0}, "L0 is 0 for a target of 64"),
    ],
)
def test_one_sentence_each(change, words):
    (sentence,) = concerns(**SOUND | change)
    assert re.search(words, sentence)


def test_an_imported_sae_is_not_to_be_trained_for_longer():
    for change in ({"fvu": 1.2}, {"dead_fraction": 0.95}, {"l0": 9.0}):
        (sentence,) = concerns(**SOUND | change, imported=True)
        assert "train for more steps" not in sentence
        assert "`reading`" in sentence


def test_each_sentence_is_a_line_of_the_terminal():
    assert told({"a": ["one", "two"], "b": [], "c": ["three"]}) == (
        "  a: one\n  a: two\n  c: three\n"
    )
    assert told({"b": []}) == ""
