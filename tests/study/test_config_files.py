"""What is wrong in a config file is said with its file and line."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
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


def test_a_sentence_gets_the_line_of_a_key_with_points(tmp_path):
    sae = "clip/layer3/relu_8x_l1_0.1"
    text = (
        f"splits:\n  dev-1.0:\n    shards: 0\n  dev: {{}}\nfeatures:\n  saes:\n    - {sae}\n"
        f"  named:\n    {sae}:\n      - 3\n      - -1\n"
        "a.b:\n  c: 1\na:\n  b.c: {d: 1}\n  b:\n    c: 1\n"
    )
    path = written(tmp_path, text)
    for sentence, line in [
        ("config: splits.dev-1.0.shards is 0, but must be", 3),
        ("config: splits.dev-1.0 has the unknown key 'shard'; did you", 2),
        ("config: splits has the name 'dev-1.0', which", 2),
        (f"config: features.named.{sae}.1 is -1, but must be", 11),
        (f"config: features.named names the SAE '{sae}', which the study has not", 9),
        (f"config: features.saes names the SAE '{sae}', which the study has not", 7),
        ("config: features.saes names 'nothing', which", 6),
        ("config: a.b.c.d is 1", 15),  # most of the words, and not the longest key
        ("config: a.b.other is 1", 12),
    ]:
        assert located(sentence, [path]) == f"{sentence} ({path}, line {line})"


KEYS = st.text("ab.", min_size=1, max_size=3).filter(lambda key: key.strip(".") == key)
TREES = st.recursive(st.just(None), lambda below: st.dictionaries(KEYS, below, max_size=3))


def lines(tree, depth=0, place=()):
    """(line, words of its place) of each key of a tree, in the order of the file."""
    for key, below in tree.items():
        here = (*place, key)
        yield f"{'  ' * depth}{key}:", ".".join(here)
        yield from lines(below or {}, depth + 1, here)


@given(TREES.filter(bool))
def test_the_line_is_one_of_the_key_that_is_named(tmp_path_factory, tree):
    """Of places that are written alike, such as a.b: c and a: b.c, any may be meant."""
    told = [*lines(tree)]
    path = tmp_path_factory.mktemp("tree") / "my.yaml"
    path.write_text("\n".join(line for line, _ in told) + "\n")
    for _, place in told:
        sentence = f"config: {place} is wrong"
        found = located(sentence, [path]).removeprefix(f"{sentence} ({path}, line ")
        assert told[int(found.removesuffix(")")) - 1][1] == place
