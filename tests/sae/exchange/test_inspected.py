"""When published SAEs are read again: if the code of a library that wrote them is another."""

import pytest

from visae.sae.exchange import inspected
from visae.sae.exchange.inspected import libraries_code, write_inspected
from visae.sae.exchange.libraries import LIBRARIES


@pytest.fixture
def code(monkeypatch):
    """Library → its hash, to be changed."""
    code = {name: f"of {name}" for name in LIBRARIES}
    monkeypatch.setattr(inspected, "of_entry", lambda shelf, name: code[name])
    return code


def test_only_a_library_that_was_found_reads_again(tmp_path, code):
    path = tmp_path / "clip-layer11.json"
    asked = libraries_code(path)
    write_inspected(path, asked, {"topk_2x_k8": {"library": "openai", "code": code["openai"]}})
    assert libraries_code(path) == asked
    code["msae"] = "other"
    assert libraries_code(path) == asked
    code["openai"] = "other"
    assert libraries_code(path) != asked


def test_after_the_reading_the_hash_is_that_with_which_it_was_asked_for(tmp_path, code):
    path = tmp_path / "clip-layer11.json"
    write_inspected(path, "before", {"topk_2x_k8": {"library": "openai", "code": "older"}})
    asked = libraries_code(path)
    assert asked != "before"
    write_inspected(path, asked, {"topk_2x_k8": {"library": "openai", "code": code["openai"]}})
    assert libraries_code(path) == asked


def test_a_library_that_is_gone_reads_again(tmp_path, code):
    path = tmp_path / "clip-layer11.json"
    write_inspected(path, "before", {"topk_2x_k8": {"library": "gone", "code": "older"}})
    assert libraries_code(path) != "before"
