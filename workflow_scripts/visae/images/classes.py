"""One list of classes for all splits of a data set, whatever each split says: names decide.

A label is a place in a list, and lists of two splits may differ in length or order.
"""

from visae.base.errors import UserError
from visae.images.index import build_index


def unified(splits, where):
    """The splits (name → ImageIndex) with one list of classes, and a sentence if they had others.

    The list is the longest one's (of two, that of the split that is first by name), with the names
    that only others have behind it. Splits without classes stay as they are. `where` names the data
    set.

    Raises:
        UserError: with both lists, where they share no name, have names that differ in case or
            spaces only, or give a class two parents.
    """
    told, classes, longest = None, {}, None
    for name in sorted(splits, key=lambda name: (-len(splits[name].classes), name)):
        index = splits[name]
        if longest is None:
            longest = name
        elif index.classes and index.classes != splits[longest].classes:
            both = f"{_listed(longest, splits[longest])} and {_listed(name, index)}"
            told = told or (
                f"The splits of {where} have two lists of classes, {both}: labels are matched by "
                "name."
            )
            _check(classes, index, both, where)
        for record in index.classes:
            if not classes.get(record.class_name, record).parent:
                classes[record.class_name] = record
            classes.setdefault(record.class_name, record)
    if told is None:
        return splits, None
    records = [r._replace(label=label) for label, r in enumerate(classes.values())]
    return {name: _renamed(splits[name], records, f"{where}, '{name}'") for name in splits}, told


def _check(classes, index, both, where):
    """Refuse a list that cannot be matched by name with the `classes` so far."""
    own = {record.class_name: record for record in index.classes}
    if not own.keys() & classes.keys():
        raise UserError(
            f"The splits of {where} share no class, {both}: name the classes of both alike, or use "
            "them as two data sets."
        )
    alike = {_plain(name): name for name in classes}
    for name, record in own.items():
        if name not in classes and _plain(name) in alike:
            raise UserError(
                f"The splits of {where} spell the class '{alike[_plain(name)]}' as '{name}' too, "
                f"{both}: spell it one way."
            )
        parents = {record.parent, classes.get(name, record).parent} - {""}
        if len(parents) > 1:
            raise UserError(
                f"The splits of {where} give the class '{name}' the parents "
                f"{' and '.join(sorted(parents))}: give it one."
            )


def _renamed(index, records, where):
    if not index.classes:
        return index
    label_of = {record.class_name: record.label for record in records}
    images = (
        image._replace(label=label_of[image.class_name]) if image.class_name else image
        for image in index.images
    )
    return build_index(images, records, where)


def _plain(name):
    return " ".join(name.replace("_", " ").casefold().split())


def _listed(split, index):
    return f"'{split}' {shown([record.class_name for record in index.classes])}"


def shown(names, most=12):
    """A list of classes for a message: `[cat, dog]`, cut where it is long."""
    more = f", … {len(names)} in all" if len(names) > most else ""
    return f"[{', '.join(names[:most])}{more}]"
