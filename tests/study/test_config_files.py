"""What is wrong in a config file is said with its file and line."""

import pytest
import yaml
from study_fixtures import ROOT

from visae.base.errors import UserError
from visae.study.config_files import located, read_config


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "my.yaml"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "line", "column", "shown"),
    [
        ("study: a\nbackbones:\n  x:\n    layer: 3\n   model: m\n", 5, 4, "5 |    model: m"),
        ("study: a\n\tseed: 1\n", 2, 1, "; put spaces in the place of the tab\n"),
        ("study:\ta\n", 1, 7, "; put spaces in the place of the tab\n"),
        ("study: a\ngrid: {\n\tk: 8}\n", 3, 1, "; put spaces in the place of the tab\n"),
        ("study: a\nlabel: b: c\n", 2, 9, "; correct it there, or in the line before\n"),
        ("study: [1, 2\nseed: 3\n", 2, 5, "1 | study: [1, 2"),
        ("study: 'a\nseed: 3\n", 3, 1, "2 | seed: 3"),
        ("study: a\nweights: *none\n", 2, 10, "undefined alias"),
        ("study: a\nstudy: b\n", 2, 1, "'study' stands twice, first in line 1"),
        ("x:\n  - seed: 1\n    seed: 2\n", 3, 5, "'seed' stands twice, first in line 2"),
        ("study: a\n---\nstudy: b\n", 2, 1, "but found another document"),
        ("study: \0a\n", None, None, "no YAML"),
    ],
)
def test_what_is_no_yaml_is_named_with_its_place(tmp_path, text, line, column, shown):
    path = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert line is None or f"my.yaml, line {line}, column {column}" in str(caught.value)
    assert shown in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n- b\n", "words\n", "null\n"])
def test_a_file_without_keys_is_refused(tmp_path, text):
    with pytest.raises(UserError, match=r"my\.yaml has no keys"):
        read_config(written(tmp_path, text))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"my\.yaml, line 2: the byte 0xe9 is no UTF-8"):
        read_config(written(tmp_path, "study: a\nlabel: café\n", "latin-1"))
    for path in (tmp_path, tmp_path / "nowhere.yaml"):
        with pytest.raises(UserError, match=r"is (missing|a folder)"):
            read_config(path)


def test_what_is_right_is_read_as_yaml_reads_it(tmp_path):
    for source in ("config.yaml", "as_run.yaml", "profiles/demo/study.yaml"):
        path = ROOT / source
        assert read_config(path) == yaml.safe_load(path.read_text("utf-8"))
    merged = "a: &x {k: 1}\nb: {<<: *x, l: 2}\nc: {<<: *x, k: 3}\n"
    assert read_config(written(tmp_path, merged))["c"] == {"k": 3}
    assert read_config(written(tmp_path, '\ufeff{"study": "a"}')) == {"study": "a"}
    assert read_config(written(tmp_path, '{\n\t"study":\t"a"\n}')) == {"study": "a"}


def test_a_sentence_gets_the_line_of_its_key(tmp_path):
    one = written(tmp_path, "study: a\ntraining:\n  epochs: 1\n  batch_size: many\n")
    other = tmp_path / "other.yaml"
    other.write_text("sweeps:\n  main:\n    grid: {k: [8, 9]}\nstudy: b\n")
    for sentence, place in [
        ("config: training.batch_size is 'many', but must be", f"{one}, line 4"),
        ("config: sweeps.main.grid.k.1 is 9", f"{other}, line 3"),
        ("config: sweeps.main.nothing is 9", f"{other}, line 2"),
        ("config: sweeps.main.grid.k.first is 9", f"{other}, line 3"),
        ("config: sweeps.main.grid.k.7 is 9", f"{other}, line 3"),
        ("config: block 12 of training.epochs is asked for", f"{one}, line 3"),
        ("config: study is 7", f"{other}, line 4"),
    ]:
        assert located(sentence, [one, other]) == f"{sentence} ({place})"
    named = written(tmp_path, "datasets:\n  x: {}\n  my images: {}\nfeatures:\n  named: {a/b: 1}\n")
    for sentence, line in [
        ("config: datasets has the name 'my images', which must be text", 3),
        ("config: datasets has the unknown key 'my images'; known keys: x", 3),
        ("config: datasets has the name 7, which must be text", 1),
        ("config: the config has the unknown key 'features'; did you mean", 4),
        ("config: features.named.a/b is 1, but must be a list", 5),
    ]:
        assert located(sentence, [named]) == f"{sentence} ({named}, line {line})"
    unknown = "config: the config lacks the key 'backbones'; add it"
    assert located(unknown, [one, other]) == unknown
    assert located("config: study is 7", []) == "config: study is 7"
