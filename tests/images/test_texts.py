"""Lists as other tools write them: read where the meaning is one, else refused with the cure."""

import codecs
import json

import pytest

from visae.base.errors import UserError
from visae.images.layouts.texts import read_json, read_lines, read_table, whole

ROWS = [["1", "cät/a b.jpg"], ["2", "dog/c.jpg"]]


@pytest.mark.parametrize(
    "content",
    [
        "1 cät/a b.jpg\n2 dog/c.jpg\n".encode(),
        "1 cät/a b.jpg\r\n2 dog/c.jpg\r\n".encode(),
        "1 cät/a b.jpg\r2 dog/c.jpg".encode(),
        codecs.BOM_UTF8 + b"1\tc\xc3\xa4t/a b.jpg  \n\n2\tdog/c.jpg\n",
        "\ufeff1 cät/a b.jpg\n2 dog/c.jpg\n".encode("utf-16-le"),
        "\ufeff1 cät/a b.jpg\n2 dog/c.jpg\n".encode("utf-16-be"),
        "1 cät/a b.jpg\n2 dog/c.jpg\n".encode("utf-32"),
        "# number path\n1 cät/a b.jpg\n  # more\n2 dog/c.jpg\n".encode(),
    ],
    ids=["plain", "CRLF", "CR", "mark and tabs", "UTF-16", "UTF-16 BE", "UTF-32", "comments"],
)
def test_lines_are_read_however_they_are_written(content, tmp_path):
    (tmp_path / "list.txt").write_bytes(content)
    assert read_lines(tmp_path / "list.txt", 2, "The list", "there") == ROWS


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 a\n2 cät\n".encode("latin-1"), "line 2.*UTF-8.*iconv"),
        ("1 a\n".encode("utf-16-le"), "zero bytes.*UTF-16.*iconv"),
        (b"1 a\n2\n", "line 2: '2' has 1 field"),
    ],
)
def test_other_encodings_are_named_with_the_cure(content, words, tmp_path):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_lines(tmp_path / "list.txt", 2, "The list", "there")


@pytest.mark.parametrize(
    "text",
    [
        "class,parent\ncat,a pet\ndog,pet\n",
        "\ufeffclass;parent\r\ncat;a pet\r\ndog;pet\r\n",
        '"class"\t"parent"\n"cat"\t"a pet"\n"dog"\t"pet"\n',
        ",parent,class\n0,a pet,cat\n1,pet,dog\n",
        "# by hand\nclass , parent\ncat , a pet\n\ndog,pet\n",
        'class,says,parent\ncat,"one\n\ntwo, 3",a pet\ndog,"\u2028\x85",pet\n',
    ],
)
def test_tables_are_read_however_they_are_written(text, tmp_path):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    assert read_table(tmp_path / "t.csv", ("class", "parent")) == [("cat", "a pet"), ("dog", "pet")]


def test_a_short_line_below_a_field_of_two_lines_has_its_own_number(tmp_path):
    (tmp_path / "t.csv").write_text('says,class,parent\n\n"one\ntwo",cat,pet\n"",dog\n')
    with pytest.raises(UserError, match=r"line 5: .*has 2 field"):
        read_table(tmp_path / "t.csv", ("class", "parent"))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"[]", "list"), (b'{"a": 1}', "no 'b'"), (b'{"b": null}', "no 'b'"), (b"{", "whole JSON")],
)
def test_json_that_lacks_something_is_named(content, words, tmp_path):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_json(tmp_path / "x.json", "there", ("b",))


def test_json_with_a_mark_is_read(tmp_path):
    (tmp_path / "x.json").write_bytes(codecs.BOM_UTF8 + json.dumps({"b": "ä"}).encode())
    assert read_json(tmp_path / "x.json", "there", ("b",)) == {"b": "ä"}


def test_numbers_are_those_that_are_meant():
    given = ("1", "01", "1.0", "0.0", "1.5", "", "x1", "²")
    assert [whole(text) for text in given] == ["1", "1", "1", "0", "1.5", "", "x1", "²"]
