"""Checking a study's config against its JSON schema: defaults filled in, errors in one sentence."""

from __future__ import annotations

import contextlib
import math
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from jsonschema.exceptions import best_match

from visae.base.errors import UserError, refusal
from visae.base.reading import guarded, parse_yaml
from visae.base.repository import SCHEMAS
from visae.base.seals import read_text_beside, write_beside
from visae.evals import extensions
from visae.evals.sections import with_evals
from visae.study.shelves import SHELVES
from visae.study.wording import is_of_name, resolved, sentence, told_apart

FORMAT = "visae-config-1"
SCHEMA = SCHEMAS / "config.schema.yaml"
# YAML reads 1e-3 and 1e4 as text: it asks for a point, and for a sign in the exponent.
EXPONENT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+")


def load_schema() -> dict[str, Any]:
    """The config's JSON schema (its descriptions document every key), with those of all evals."""
    # libyaml, where PyYAML has it, is eight times as fast; every plan reads this file.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return with_evals(_with_shelves(yaml.load(SCHEMA.read_text(encoding="utf-8"), loader)))


def _with_shelves(schema: Any) -> Any:
    """The schema with the names of a shelf's entries as `enum` in the place of its `shelf`."""
    if isinstance(schema, list):
        return [_with_shelves(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    filled = {key: _with_shelves(value) for key, value in schema.items() if key != "shelf"}
    return filled | ({"enum": SHELVES[schema["shelf"]].names()} if "shelf" in schema else {})


def checked(config):
    """The config with defaults filled in. Raises UserError naming the key, the value, the cure."""
    config, schema, errors = _validated(config)
    if errors:
        raise UserError(sentence(best_match(errors), schema))
    for _, said in _infinite(config):
        raise UserError(said)
    return _with_paths(config, schema, schema, ())


def problems(config):
    """A sentence for each place where the config does not follow the schema; one for one value."""
    try:
        config, schema, errors = _validated(config)
    except UserError as error:
        return [str(error)]
    faults = {(place, None): told for place, told in _infinite(config)}
    of_values = {}  # a value may break several rules, a section lack several keys
    for number, error in enumerate(errors):
        apart = is_of_name(error) or isinstance(error.instance, dict | list)
        place = tuple(error.absolute_path), number if apart else None
        of_values.setdefault(place, []).append(error)
    said = {place: sentence(best_match(errors), schema) for place, errors in of_values.items()}
    return list((faults | said).values()) or _unknown_paths(config, schema)


def _unknown_paths(config, schema):
    """A sentence for each path with a variable or a home that is unknown."""
    found = []

    def noted(value, where):
        found.extend(refusal(written_out, value, where))
        return value

    _with_paths(config, schema, schema, (), noted)
    return found


def _validated(config):
    """(the config with defaults, the schema, its errors)."""
    config = config | {"extensions": written_out(config.get("extensions", []), "extensions")}
    for folder in config["extensions"]:
        extensions.add(folder)
    schema = load_schema()
    config = _canonical(_with_defaults(config, schema, schema), schema, schema)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(config)
    return config, schema, told_apart(errors, schema)


def _infinite(value, where=()):
    """(place, sentence) of each NaN or infinity, which no schema tells from a number."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _infinite(item, (*where, key))
    elif isinstance(value, float) and not math.isfinite(value):
        place = ".".join(map(str, where))
        yield where, f"config: {place} is {value}, which is no number; write one"


def written_out(value, where):
    """A path, or a list of them, without `~` and environment variables.

    Raises UserError where a variable is not set, or a home is unknown. where: the config's key.
    """
    if isinstance(value, list):
        return [written_out(item, where) for item in value]
    if not isinstance(value, str):  # the schema refuses it
        return value
    path = os.path.expanduser(os.path.expandvars(value))
    if left := re.search(r"\$(\w+|\{\w+\})|^~[^/]*", path):
        raise UserError(
            f"config: {where} is {value!r}, but {left[0]} is not known here; set the environment "
            "variable, or write the path out"
        )
    return path


def _with_paths(
    value: Any, schema: Any, root: Any, where: tuple, written: Any = written_out
) -> Any:
    """A copy of `value` in which every string that the schema calls a path is written out."""
    schema = resolved(schema, root)
    if schema.get("format") == "path":
        return written(value, ".".join(where))
    if not isinstance(value, dict):
        return value
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    return {
        key: _with_paths(item, sub, root, (*where, str(key)), written)
        if isinstance(sub := properties.get(key, others), dict)
        else item
        for key, item in value.items()
    }


def write_config(config, path):
    """Write the config as it was given to YAML at `path`, unless it lies there.

    Where nothing can be written nothing is: what a study computes does not need the file.
    """
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    path = os.path.abspath(path)  # its place has the names of the folders around it
    with contextlib.suppress(OSError, UserError):
        if not _holds(path, text):
            write_beside(path, FORMAT, text)


def _holds(path, text):
    try:
        return read_text_beside(path, FORMAT) == text
    except UserError:
        return False


def read_config(path):
    """What `write_config` wrote.

    Raises UserError where it is damaged or another study's, or no study lies there.
    """
    path = os.path.abspath(path)
    if not Path(path).exists():
        raise UserError(
            f"{Path(path).parent} holds no study ({Path(path).name} is missing): give the folder "
            "`results/{study}` of a study that has run, or run it again with this version"
        )
    cure = "run the study again or, where its folder was renamed, give that its old name"
    with guarded(path, "YAML", cure):
        return dict(parse_yaml(read_text_beside(path, FORMAT, cure)))


SEEDS_APART = 1000  # between a backbone's seeds in a study and in its replicates


def replicated(config, number):
    """The config of a study's replicate `number` (2, 3, …), as written by its user.

    Called `<study>_<number>`, with paths below `results/<study>/` moved along. Every seed of a
    backbone differs, which is that of its initialisation and of its pretraining; data, splits
    and the SAEs' seed do not.
    """
    name = f"{config['study']}_{number}"
    here, there = f"results/{config['study']}/", f"results/{name}/"

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(item) for key, item in value.items()}
        if isinstance(value, list):
            return [moved(item) for item in value]
        if isinstance(value, str) and value.startswith(here):
            return there + value.removeprefix(here)
        return value

    backbones = {
        backbone: entry | {"seed": entry.get("seed", 0) + SEEDS_APART * (number - 1)}
        for backbone, entry in moved(config["backbones"]).items()
    }
    apart = {"study": name, "backbones": backbones, "replicates": []}
    return moved(config) | apart


def switched(config, arm):
    """The config of a study's arm, as written by its user: its main sweep with one thing changed.

    The study keeps its name, since an arm runs in a folder of its own (`visae.study.arms`). What is
    not needed for the scores of the main sweep is left out. Raises UserError for an unknown arm.
    """
    arms = config.get("arms", {})
    if arm not in arms:
        known = f"one of {', '.join(arms)}" if arms else "none, since the config has no arms"
        raise UserError(f"config: '{arm}' is not in arms; known: {known}")
    main = next(iter(config["sweeps"]))
    alone = {"sweeps": {main: config["sweeps"][main]}}
    alone |= dict.fromkeys(("downstream", "features", "matches", "interventions"))
    return _merged(config | alone | {"arms": {}, "replicates": []}, arms[arm])


def _merged(config, over):
    """`config` with the values of `over`, at any depth."""
    if not (isinstance(config, dict) and isinstance(over, dict)):
        return over
    return config | {key: _merged(config.get(key), value) for key, value in over.items()}


def _with_defaults(value: Any, schema: Any, root: Any) -> Any:
    """A copy of `value` in which every absent property with a default has it, at any depth."""
    schema = resolved(schema, root)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_with_defaults(item, schema["items"], root) for item in value]
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    properties = schema.get("properties", {})
    for key, sub in properties.items():
        if key not in filled and "default" in (known := resolved(sub, root)):
            filled[key] = known["default"]
    others = schema.get("additionalProperties")
    for key in filled:
        sub = properties.get(key, others if isinstance(others, dict) else None)
        if sub is not None:
            filled[key] = _with_defaults(filled[key], sub, root)
    return filled


def _canonical(value: Any, schema: Any, root: Any) -> Any:
    """The one spelling of `value`, since jobs run again where the text of their params differs.

    Keys stand in the order of the schema, others by name. Entries that people name themselves keep
    their order, in which they are shown and of which the first has a part to play. So do lists.
    """
    schema = resolved(schema, root)
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        others = others if isinstance(others, dict) else {}
        named = "propertyNames" in schema or resolved(others, root).get("type") == "object"
        free = [key for key in value if key not in properties]
        free = free if named else sorted(free, key=str)  # a key may be a number, as YAML reads it
        keys = [*(key for key in properties if key in value), *free]
        return {key: _canonical(value[key], properties.get(key, others), root) for key in keys}
    if isinstance(value, list | tuple):
        return [_canonical(item, schema.get("items", {}), root) for item in value]
    return _number(value, _types(schema))


def _types(schema):
    """The types that a resolved schema allows, as far as it says."""
    said = schema.get("type", [])
    return {said} if isinstance(said, str) else {*said}.union(*map(_types, schema.get("anyOf", [])))


def _number(value, kinds):
    """A number spelled another way: 8.0 and 8e0 as 8, 1e-3, which YAML calls text, as 0.001.

    kinds: the types that the schema allows here, none where it does not say: a library's own
    options tell 1 from 1.0. What is no number is returned as it is.
    """
    if isinstance(value, str) and EXPONENT.fullmatch(value):
        if kinds and ("string" in kinds or not kinds & {"integer", "number"}):
            return value
        value = float(value)
    whole = isinstance(value, float) and value.is_integer() and kinds & {"integer", "number"}
    return int(value) if whole else value
