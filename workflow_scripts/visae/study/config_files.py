"""Config files as text: what is no YAML, what stands twice, and on which line a key stands.

Snakemake reads files given by `--configfile` before the Snakefile, and says of a file that is no
YAML neither its name nor the line. Its logger `snakemake_logger_plugin_visae` does, by this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml

from visae.base.errors import UserError
from visae.base.reading import guarded

AROUND = 2
"""Lines shown before the one that is wrong."""

_PATH = re.compile(r"(?<=config: )\S*\w|[\w-]+(?:\.[\w-]+)+")
_NAMED = re.compile(
    r"config: (?:the config|(\S+)) (?:has the (?:unknown key|name) |names (?:the [A-Za-z ]+)?(?='))"
    r"'?([^',;]+)"
)


def read_config(path: str | Path) -> dict:
    """The mapping in the YAML or JSON file at `path`.

    Raises UserError with the file, the line, the column and what is around them: for what is no
    YAML, for a key that stands twice, for a file without keys, and for one that cannot be read.
    """
    root = _compose(path)
    if not isinstance(root, yaml.MappingNode):
        raise UserError(
            f"{path} has no keys: a config is `key: value` lines, as in config.yaml; write them"
        )
    check_unique(path, root)
    text = _text(path)
    try:
        return json.loads(text)  # as Snakemake tries first: JSON may have tabs
    except ValueError:
        return _as_yaml(path, lambda: yaml.safe_load(text))  # as Snakemake: stricter than in C


def check_unique(path: str | Path, root: yaml.Node | None = None) -> None:
    """UserError where a key stands twice in one mapping: YAML would take the last one."""
    for mapping in _mappings(root or _compose(path)):
        seen = {}
        for key, _ in mapping.value:
            first = seen.setdefault(key.value, key) if isinstance(key, yaml.ScalarNode) else key
            if first is not key and key.value != "<<":
                raise UserError(
                    f"{_place(path, key.start_mark)}: the key '{key.value}' stands twice, first in "
                    f"line {first.start_mark.line + 1}; take one out"
                )


def located(sentence: str, paths: Sequence[str | Path]) -> str:
    """A sentence about a config with the file and the line of the key that it is about, if any.

    paths: the config files, of which later ones hold over earlier ones.
    """
    named = [[*filter(None, where.split(".")), key] for where, key in _NAMED.findall(sentence)]
    for keys in [*named, *(words.split(".") for words in _PATH.findall(sentence))]:
        for path in reversed(paths):
            try:
                _, found = _deepest(_compose(path), keys)
            except UserError:
                return sentence
            if found is not None:
                return f"{sentence} ({path}, line {found.start_mark.line + 1})"
    return sentence


def _deepest(node, words) -> tuple[int, yaml.Node | None]:
    """(How many of `words` lead to a key, its node): as many as do. A key may be several words.

    Keys have points, as `named` of an SAE `relu_8x_l1_0.1`, and in sentences points part them.
    """
    best = 0, None
    for count in range(len(words), 0, -1):
        if child := _child(node, ".".join(words[:count])):
            found, below = child
            further, deeper = _deepest(below, words[count:])
            best = max(best, (count + further, deeper or found), key=lambda way: way[0])
    return best


def _compose(path):
    """The node graph of a file; UserError where it is no YAML."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return _as_yaml(path, lambda: yaml.compose(_text(path), loader))


def _as_yaml(path, read):
    """What `read()` returns; UserError with the place where it finds no YAML."""
    try:
        return read()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise UserError(_unreadable(path, problem, mark)) from error


def _text(path):
    with guarded(path, "a config file", "correct the path, or give another"):
        content = Path(path).read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: the byte 0x{content[error.start]:02x} is no UTF-8; save the "
            "file as UTF-8"
        ) from error


def _unreadable(path, problem, mark):
    """The sentence about what is no YAML, and the lines up to where it was noticed."""
    if mark is None:
        return f"{path} is no YAML: {problem}; correct it"
    lines = _text(path).splitlines()
    first = max(0, mark.line - AROUND)
    shown = [f"  {number + 1:4d} | {lines[number]}" for number in range(first, mark.line + 1)
             if number < len(lines)]  # fmt: skip
    pointer = " " * (len("  1234 | ") + mark.column) + "^"
    hint = "correct it there, or in the line before"
    if _tab_before(lines, mark):
        hint = "put spaces in the place of the tab"
    return f"{_place(path, mark)} is no YAML: {problem}; {hint}\n" + "\n".join([*shown, pointer])


def _tab_before(lines, mark):
    return mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]


def _place(path, mark):
    return f"{path}, line {mark.line + 1}, column {mark.column + 1}"


def _mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Every mapping in a node graph, without those that an alias repeats."""
    left, seen = [node], set()
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            left += [value for _, value in reversed(node.value)]
        elif isinstance(node, yaml.SequenceNode):
            left += reversed(node.value)


def _child(node, key) -> tuple[yaml.Node, yaml.Node] | None:
    """(The node of a key or a list's entry, by number or by what it is, its value) or None."""
    entries: Iterable = ()
    if isinstance(node, yaml.MappingNode):
        entries = ((name, value) for name, value in node.value if name.value == key)
    elif isinstance(node, yaml.SequenceNode):
        at = int(key) if key.isdecimal() else len(node.value)
        alike = [each for each in node.value if each.value == key]
        entries = ((value, value) for value in [*node.value[at : at + 1], *alike])
    return next(iter(entries), None)
