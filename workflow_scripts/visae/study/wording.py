"""What breaks the config's schema, each in one sentence with the cure, for every validator keyword.

Whoever writes a config knows YAML, and neither Python nor JSON Schema: values are shown as YAML.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import jsonschema
import yaml
from jsonschema.exceptions import ValidationError

ALIKE = 0.9
"""From this likeness on an unknown key is a misspelt one, though another section may have it."""

KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "keys with values",
    "null": "null",
}


def told_apart(errors: Iterable[ValidationError], schema: Any) -> list[ValidationError]:
    """One error for each unknown key; none for a missing key that one of these is meant to be."""
    apart = [one for error in errors for one in _by_key(error)]
    meant = {
        (*error.absolute_path, _meant(error, schema))
        for error in apart
        if error.validator == "additionalProperties"
    }
    return [
        error
        for error in apart
        if error.validator != "required" or (*error.absolute_path, _missing(error)) not in meant
    ]


def sentence(error: Any, schema: Any) -> str:
    """What is wrong, where, and the cure, by a ValidationError of the whole `schema`."""
    while error.parent is not None and not error.relative_path and _is_alternative(error):
        error = error.parent
    where = ".".join(map(str, error.absolute_path)) or "the config"
    if error.validator == "additionalProperties":
        return f"config: {where} has the unknown key {shown(_unknown(error))}; " + _instead(
            error, schema
        )
    if error.validator == "required":
        return f"config: {where} lacks the key '{_missing(error)}'; add it"
    if error.validator == "enum":
        known = list(map(_plain, error.validator_value))
        close = difflib.get_close_matches(_plain(error.instance), known, n=1)
        cure = f"did you mean '{close[0]}'? " if close else ""
        return (
            f"config: {where} is {_read(error.instance)}, which is not known; {cure}"
            f"use one of {', '.join(known)}"
        )
    has, link = ("has the name", "which") if is_of_name(error) else ("is", "but")
    cure = _cure(error, schema)
    about = "" if error.validator == "pattern" or not error.absolute_path else _about(error.schema)
    return (
        f"config: {where} {has} {_read(error.instance)}, {link} must {_must(error)}"
        + (f"; {cure}" if cure else "")
        + (f" ({about})" if about else "")
    )


def shown(value: Any) -> str:
    """A value as YAML has it, in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_plain(key)}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    return repr(value) if isinstance(value, str) else _plain(value)


def _plain(value):
    """A value as YAML has it, text without quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return shown(value) if isinstance(value, dict | list | tuple) else str(value)


def _read(value):
    """A value, with what else may stand in the file for it."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"{shown(value)} (so YAML reads {'yes and on' if value else 'no and off'})"
    return shown(value)


def _must(error):
    """What a value must be, or have, by the keyword that it breaks."""
    bound = error.validator_value
    match error.validator:
        case "type" | "anyOf" | "oneOf":
            return f"be {_either(_kinds({error.validator: bound}))}"
        case "const":
            return f"be {_plain(bound)}"
        case "minimum":
            return f"be at least {bound}"
        case "maximum":
            return f"be at most {bound}"
        case "exclusiveMinimum":
            return f"be more than {bound}"
        case "exclusiveMaximum":
            return f"be less than {bound}"
        case "multipleOf":
            return f"be a multiple of {bound}"
        case "uniqueItems":
            return "have each value once"
        case "minItems" | "minProperties" | "minLength":
            return f"have at least {_count(bound, error)}" if error.instance else "not be empty"
        case "maxItems" | "maxProperties" | "maxLength":
            return f"have at most {_count(bound, error)}"
        case "pattern":
            about = _about(error.schema)
            return f"be {about[0].lower()}{about[1:]}" if about else f"be of the form {bound}"
    return f"follow its schema, which says: {error.message}"


def _count(number, error):
    what = {"Items": "value", "Properties": "key", "Length": "letter"}[error.validator[3:]]
    return f"{number} {what}" + ("" if number == 1 else "s")


def _kinds(schema):
    """The kinds of values that a schema allows, in words, each once."""
    said = schema.get("type", [])
    found = [KINDS[kind] for kind in ([said] if isinstance(said, str) else said)]
    found += [_plain(schema["const"])] if "const" in schema else []
    found += map(_plain, schema.get("enum", ()))
    for keyword in ("anyOf", "oneOf"):
        found += [kind for one in schema.get(keyword, ()) for kind in _kinds(one)]
    return list(dict.fromkeys(found))


def _either(words):
    """`a, b or c`."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _cure(error, schema):
    """What to write instead, where that is clear: what the value's schema would take."""
    value = error.instance
    validator = jsonschema.Draft202012Validator(schema)

    def fits(other):
        return validator.evolve(schema=error.schema).is_valid(other)

    if error.validator == "uniqueItems":
        twice = next(item for place, item in enumerate(value) if item in value[:place])
        return f"take one {shown(twice)} out"
    if error.validator == "pattern":
        other = re.sub(r"\W+", "_", value.strip().lower())
        return f"such as {other}" if fits(other) else ""
    if error.validator not in ("type", "anyOf", "oneOf") or isinstance(value, dict):
        return ""
    if known := error.schema.get("properties"):
        return f"write keys below it: {', '.join(known)}"
    if value is None:
        return "write it behind the colon"
    if isinstance(value, str) and fits(unquoted := _unquoted(value)):
        return f"write {shown(unquoted)}, without quotes"
    if fits([value]):
        return f"write {shown([value])}"
    return "put it in quotes" if not isinstance(value, list) and fits(_plain(value)) else ""


def _unquoted(text):
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text


def _about(schema):
    """What a schema says about itself, in one line."""
    return " ".join(schema.get("description", "").split()) if isinstance(schema, dict) else ""


def is_of_name(error: ValidationError) -> bool:
    """Whether it is of a name of one's own, and not of what stands below that."""
    return "propertyNames" in error.absolute_schema_path


def _is_alternative(error):
    """Whether it says no more than what one of several alternatives would be."""
    alternatives = error.parent.validator in ("anyOf", "oneOf")
    return alternatives and error.validator in ("type", "const", "enum")


# ---------------------------------------------------------------- keys


def _by_key(error):
    """An error of a section, once for each of its unknown keys; any other as it is."""
    if error.validator != "additionalProperties":
        return [error]
    known, apart = error.schema.get("properties", {}), []
    for key in error.instance:
        if key not in known:
            apart.append(copy.copy(error))
            apart[-1].instance = {key: error.instance[key]}
    return apart


def _unknown(error):
    known = error.schema.get("properties", {})
    return next(key for key in error.instance if key not in known)


def _missing(error):
    """The key that is missing, which the error's message alone names."""
    return next(key for key in error.validator_value if error.message.startswith(repr(key)))


def _instead(error, schema):
    """What to do about an unknown key."""
    if close := _meant(error, schema):
        return f"did you mean '{close}'?"
    key = _unknown(error)
    if places := _places(key, schema):
        return f"it stands {_either(places)}: move it there"
    return f"known keys: {', '.join(error.schema.get('properties', {}))}"


def _meant(error, schema):
    """The key of the section that an unknown one is a misspelling of, or None."""
    key, known = _unknown(error), list(error.schema.get("properties", {}))
    cutoff = ALIKE if _places(key, schema) else 0.6
    return next(iter(difflib.get_close_matches(str(key), known, n=1, cutoff=cutoff)), None)


def _places(key, schema):
    """Where in the config a key of this name is known, in words, each once."""
    sections = dict.fromkeys(where for where, known in _keys(schema, schema) if known == key)
    return [f"in {where}" if where else "at the top level" for where in sections]


def _keys(schema: Any, root: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """(section, key) of every key that a schema knows; {name} is a name of one's own."""
    schema = resolved(schema, root)
    for key, sub in schema.get("properties", {}).items():
        yield where, key
        yield from _keys(sub, root, f"{where}.{key}" if where else key)
    if isinstance(others := schema.get("additionalProperties"), dict):
        yield from _keys(others, root, f"{where}.{{name}}")
    for one in schema.get("anyOf", ()):
        yield from _keys(one, root, where)


def resolved(schema: Any, root: Any) -> Any:
    """What a schema that is a reference refers to."""
    while "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema
