"""Reading: what can be read in two ways is refused, and nothing but a UserError leaves."""

import json
import os
import time
import zipfile

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from visae.base.errors import UserError
from visae.base.reading import (
    as_number,
    as_whole,
    check_sums,
    guarded,
    lines_of,
    parse_csv,
    parse_json,
    parse_json_lines,
    parse_yaml,
    read_json,
    read_text,
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside,
                                                                  max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(PLAIN)
def test_json_that_is_right_is_read_as_it_was_written(value):
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    ["NaN", "[-Infinity]", '{"a": 1e999}', '{"a": 1, "a": 1}', '{"b": {"a": 1, "a": 2}}', "[1,]",
     '"\\ud800"', "1" * 5000, "[" * 100_000, "\ufeff1", "{a: 1}", ""],
)  # fmt: skip
def test_json_that_is_none_or_leaves_a_choice_is_refused_with_the_cure(text, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(UserError, match=r"x\.json.*: remove it and"):
        read_json(path)


@pytest.mark.parametrize(
    "text",
    [
        "a: .nan",
        "a: -.inf",
        "a: 1\na: 2",
        "b: {a: 1, a: 1}",
        "- !!python/x 1",
        "[" * 2000,
        "- " * 300,
    ],
)
def test_yaml_likewise(text):
    with pytest.raises((ValueError, yaml.YAMLError)):
        parse_yaml(text)
    assert parse_yaml("base: &b {x: 1}\nmore: {<<: *b, y: 2.5}") == {
        "base": {"x": 1},
        "more": {"x": 1, "y": 2.5},
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n3\n", r"line 3: 1 cells, where there are 2"),
        ("a,b\n1,2,3\n", r"line 2: 3 cells"),
        ("a,b\n1,2", r"line 2: it is cut"),
        ('a,b\n1,"2\n', r"line 2: unexpected end"),
        ("a,c\n1,2\n", r"line 1: it has the columns 'a,c' and not 'a,b'"),
        ("", r"line 1: it has the columns '' and"),
    ],
)
def test_a_table_is_refused_by_its_line(text, words):
    with pytest.raises(UserError, match=rf"x\.csv, {words}.*remove it and run"):
        parse_csv(text, "x.csv", [("a", "b")])
    assert parse_csv('a,b\n1,"2\n3"\n', "x.csv", [("a", "b")])[0].cells == {"a": "1", "b": "2\n3"}


@pytest.mark.parametrize("value", ["nan", "inf", "1_0", "", "x", True, None, [1], float("nan")])
def test_what_is_no_number_is_refused(value):
    for kind in (as_number, as_whole):
        with pytest.raises(ValueError, match=r"."):
            kind(value)


def test_numbers_and_whole_numbers():
    assert (as_number("-1e-3"), as_number(2), as_whole("12"), as_whole(0)) == (-0.001, 2.0, 12, 0)
    for value in ("1.0", "-1", " 1", "²", "9" * 30, 1.0):
        with pytest.raises(ValueError, match=r"no whole number from 0 on"):
            as_whole(value)


@pytest.mark.parametrize("instead", ["folder", "pipe", "device", "nothing"])
def test_what_is_no_file_is_refused_without_waiting(instead, tmp_path):
    path = tmp_path / "x"
    if instead == "folder":
        path.mkdir()
    elif instead == "pipe":
        os.mkfifo(path)
    elif instead == "device":
        path.symlink_to("/dev/zero")
    start = time.monotonic()
    with pytest.raises(UserError, match=rf"{path} is (missing|a folder, a pipe or a device)"):
        read_text(path)
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("raised", [KeyError("a"), MemoryError(), RecursionError("deep\nin it")])
def test_whatever_is_raised_becomes_one_sentence(raised, tmp_path):
    path = tmp_path / "x.bin"
    path.touch()
    with pytest.raises(UserError) as caught, guarded(path, "HDF5", "fetch it again"):
        raise raised
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path} is damaged or not HDF5 ({type(raised).__name__}")
    assert str(caught.value).endswith(": fetch it again")
    with pytest.raises(KeyboardInterrupt), guarded(path, "HDF5"):
        raise KeyboardInterrupt


def test_a_changed_byte_of_an_archive_is_noticed(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("values", bytes(range(200)))
    check_sums(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(bytes(range(50)), bytes(range(49)) + b"x"))
    with pytest.raises(ValueError, match="values in it does not match its CRC-32"):
        check_sums(path)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("\n", [""]),
        ("a", ["a"]),
        ("a\r\nb\n", ["a", "b"]),
        ("a\u2028\x85\f\n", ["a\u2028\x85\f"]),
    ],
)
def test_lines_end_at_line_ends_alone(text, lines):
    assert lines_of(text) == lines
    assert lines_of("\n".join([*lines, ""])) == lines


def test_lines_of_json_may_hold_other_line_separators():
    text = json.dumps({"a": "one\u2028two\x85"}, ensure_ascii=False)
    assert parse_json_lines(f"{text}\n{text}\n", "x") == [{"a": "one\u2028two\x85"}] * 2
