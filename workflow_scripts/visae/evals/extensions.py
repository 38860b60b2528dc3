"""Metrics and tasks outside of the library, checked as soon as a config names their folder."""

import json
import re

import jsonschema
from jsonschema.exceptions import SchemaError, ValidationError

from visae.base.errors import UserError
from visae.evals.entry import METRIC, RAW, SAES, TASK, Eval
from visae.evals.reads import DATA, FROM_LABELS, READS
from visae.evals.shelf import EVALS

_SOURCES = {METRIC: {SAES}, TASK: {RAW, SAES}}
_NAME = re.compile("[a-z][a-z0-9_]*")


def add(folder):
    """Put what lies in `folder` on the shelf; UserError for an entry that would fail in a job."""
    before = set(EVALS)
    EVALS.extend(folder)
    found = [name for name in EVALS if EVALS.is_extension(name)]
    if "entry" in found:
        raise UserError(
            f"config: extensions names {str(folder)!r}, which is a metric or task itself; name the "
            "folder around it"
        )
    for name in found:
        if name not in before:
            _check(name)


def _check(name):
    files = {path.name: path for path in EVALS.files(name)}
    where = f"the extension '{name}' ({next(iter(files.values())).parent})"
    for wrong in _wrong(name, files):
        raise UserError(f"config: {where} {wrong} (see docs/own_metric.md)")


def _wrong(name, files):
    """What is wrong with an entry, each with the cure; the first is told."""
    if not _NAME.fullmatch(name):
        yield "has a name that paths cannot have: write it in small letters, digits and _"
    try:
        entry = EVALS[name]
    except UserError as error:
        yield f"is refused: {error}"
    except Exception as error:
        yield f"cannot be loaded, {type(error).__name__}: {error}; correct its entry.py"
    if not isinstance(entry, Eval):
        yield f"has the ENTRY {entry!r}, which is no Eval; make it one"
    if entry.kind not in _SOURCES:
        yield f"has the kind {entry.kind!r}; choose METRIC or TASK"
    if set(entry.of) != (sources := _SOURCES[entry.kind]):
        yield f"says what it reads of {_listed(entry.of)}; a {entry.kind} reads {_listed(sources)}"
    if entry.data not in DATA:
        yield f"has the data {entry.data!r}; choose one of {_listed(DATA)}"
    for needs in (*entry.of.values(), *entry.variants.values()):
        for chosen, known in ((needs.reads, READS), (needs.after, EVALS)):
            for read in set(chosen) - set(known):
                yield f"reads {read!r}, which there is not; choose from {_listed(known)}"
        for read in set(needs.reads) & set(FROM_LABELS) if not entry.labels else ():
            yield f"reads {read!r}, which is made of labels, and does not say so; add labels=True"
    for setting, schema in entry.settings.items():
        yield from _wrong_setting(setting, schema)
    yield from _wrong_files(files)


def _wrong_setting(setting, schema):
    if not isinstance(schema, dict) or "description" not in schema:
        yield f"has the setting {setting!r} without a description; make it a JSON schema with one"
        return
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        if "default" in schema:
            jsonschema.Draft202012Validator(schema).validate(schema["default"])
    except SchemaError as error:
        yield f"has the setting {setting!r}, which is no JSON schema: {error.message}; correct it"
    except ValidationError as error:
        yield f"has the setting {setting!r}, whose default it refuses: {error.message}; change one"


def _wrong_files(files):
    for file in ("compute.py", "schema.json"):
        if file not in files:
            yield f"lacks {file}; add it beside entry.py"
    try:
        schema = json.loads(files["schema.json"].read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
    except (ValueError, SchemaError) as error:
        yield f"has a schema.json that is no JSON schema: {error}; correct it"


def _listed(names):
    return ", ".join(sorted(names))
