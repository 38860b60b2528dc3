"""A metric's result as a JSON document that says which definition it follows.

The value is a number, or null with a reason: "could not be computed" is never 0. Each document
is checked against its JSON schema (rules/schemas/metrics/) before it is written. Arrays too
long for JSON go to an `.npz` file beside it.
"""

import functools
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from visae.base import repository
from visae.base.errors import UserError
from visae.base.files import atomic_path, read_json, write_json

SCHEMAS = repository.SCHEMAS / "metrics"


@dataclass(frozen=True)
class Score:
    """One metric of one SAE."""

    metric: str
    """File name of the metric: localization, fvu, preservation, ..."""
    value: float | None
    """The headline; None if it could not be computed."""
    definition: str
    """One sentence: what the value is."""
    higher_is_better: bool
    reason: str | None = None
    """Why `value` is None; None otherwise."""
    readings: dict = field(default_factory=dict)
    """Other named definitions and by-products: name -> number or None."""
    details: dict = field(default_factory=dict)
    """Settings, curves, and whatever else explains the value (JSON types)."""
    data: dict = field(default_factory=dict)
    """Counts of what was there and what was eligible."""
    arrays: dict = field(default_factory=dict)
    """Arrays for the `.npz` file: name -> ndarray (NaN allowed: not evaluable)."""

    def __post_init__(self):
        if (self.value is None) != bool(self.reason):
            raise UserError(
                f"score {self.metric}: a value of None needs a reason, and only that "
                f"(value {self.value}, reason {self.reason!r})"
            )


def write_score(path, score, sae, provenance):
    """Check `score` against its schema and write it to `path` (and its arrays to `.npz`).

    sae: dict (backbone, layer, name, family, expansion_factor, k, sweep). provenance: dict.
    Raises UserError for NaN, infinity or a document that the schema refuses.
    """
    path = Path(path)
    document = {
        "metric": score.metric,
        "value": score.value,
        "reason": score.reason,
        "definition": score.definition,
        "higher_is_better": score.higher_is_better,
        "readings": score.readings,
        "details": score.details,
        "sae": sae,
        "data": score.data,
        "provenance": provenance,
    }
    document = _plain(document, f"score {score.metric}")
    validate(document)
    if score.arrays:
        with atomic_path(arrays_path(path)) as temporary:
            np.savez(temporary, **score.arrays)
    write_json(path, document)


def read_score(path):
    """The document (dict) at `path`, checked against its schema."""
    document = read_json(path)
    validate(document, where=path)
    return document


def read_arrays(path):
    """The arrays (name -> ndarray) that belong to the score at `path`."""
    with np.load(arrays_path(path), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def arrays_path(path):
    """Where the arrays of the score at `path` lie."""
    return Path(path).with_suffix(".npz")


def validate(document, where=None):
    """Raise UserError if `document` does not follow the schema of its metric."""
    metric = document.get("metric")
    where = where or f"score {metric}"
    errors = sorted(_validator(metric).iter_errors(document), key=lambda e: list(e.absolute_path))
    if errors:
        place = "/".join(str(part) for part in errors[0].absolute_path) or "top level"
        raise UserError(
            f"{where}: {errors[0].message} (at {place}); see rules/schemas/metrics/{metric}"
            ".schema.json"
        )


@functools.cache
def _validator(metric):
    import jsonschema
    import referencing

    path = SCHEMAS / f"{metric}.schema.json"
    if not path.is_file():
        raise UserError(f"metric {metric!r} has no schema; add {path.name} to {path.parent}")
    shared = json.loads((SCHEMAS / "score.schema.json").read_text(encoding="utf-8"))
    resource = referencing.Resource.from_contents(shared)
    registry = referencing.Registry().with_resource("score.schema.json", resource)
    schema = json.loads(path.read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema, registry=registry)


def _plain(value, where):
    """`value` with NumPy types turned into Python's; NaN and infinity are refused."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{where}, {key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, where) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where} is {value}; write None (null) with a reason where undefined")
    return value
