import pytest

from visae.base.errors import UserError
from visae.base.seals import write_beside
from visae.images.index import CLASSES_FORMAT
from visae.probing.siblings import imagenet_parents, read_sibling_groups, sibling_groups


def write_classes(path, rows):
    lines = ["label,class_name,parent", *(f"{i},{name},{parent}" for i, (name, parent) in rows)]
    write_beside(path, CLASSES_FORMAT, "\n".join(lines) + "\n")
    return path


def test_imagenet_has_95_groups_and_424_tasks(tmp_path):
    names = sorted({name for name, _ in imagenet_parents()})
    assert len(names) == 1000
    path = write_classes(tmp_path / "classes.csv", enumerate((name, "") for name in names))
    groups = read_sibling_groups(path)
    assert len(groups) == 95
    assert len({label for group in groups for label in group.labels}) == 422
    assert sum(len(group.labels) for group in groups) == 424
    by_parent = {g.parent: {names[label] for label in g.labels} for g in groups}
    domestic_cats = {"n02123045", "n02123159", "n02123394", "n02123597", "n02124075"}
    assert by_parent["n02121808"] == domestic_cats


def test_own_parents_win_and_small_groups_are_left_out(tmp_path):
    rows = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "x"), ("e", "y"), ("f", "")]
    groups = read_sibling_groups(write_classes(tmp_path / "classes.csv", enumerate(rows)))
    assert [(group.parent, group.labels) for group in groups] == [("x", (0, 1, 3))]


def test_without_any_hierarchy_there_are_no_groups(tmp_path):
    rows = enumerate([("cat", ""), ("dog", ""), ("cow", "")])
    assert read_sibling_groups(write_classes(tmp_path / "classes.csv", rows)) == []


def test_a_class_may_have_two_parents():
    parents = [(name, "x") for name in "abc"] + [(name, "y") for name in "cde"]
    groups = sibling_groups({name: i for i, name in enumerate("abcde")}, parents)
    assert [group.labels for group in groups] == [(0, 1, 2), (2, 3, 4)]


def test_a_foreign_table_is_named(tmp_path):
    path = tmp_path / "classes.csv"
    write_beside(path, CLASSES_FORMAT, "id,name\n0,cat\n")
    with pytest.raises(UserError, match="id,name"):
        read_sibling_groups(path)


def test_a_class_list_that_was_cut_or_edited_is_refused(tmp_path):
    rows = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "x")]
    path = write_classes(tmp_path / "classes.csv", enumerate(rows))
    text = path.read_text()
    for changed in (text[: text.index("3,d")], text.replace("1,b,x", "1,b,y")):
        path.write_text(changed)
        with pytest.raises(UserError, match=r"classes\.csv has changed"):
            read_sibling_groups(path)
