"""What an eval leaves behind: one JSON document per source of features, arrays beside it.

A metric's is `metrics/{place}/{sae}/{metric}.json`, with one `Result` at the top. A task's is
`downstream/{place}/{sae or raw}/{task}.json`, with one for each representation: `raw` of a
backbone's own features, `reconstructed` and `codes` of an SAE.

A value is a number, or null with a reason: "could not be computed" is never 0. A document is
checked against its schema, the entry's `schema.json` upon `metric.schema.json` or
`task.schema.json`, when it is written and when it is read.
"""

import functools
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from visae.base.errors import UserError
from visae.base.paths import RAW
from visae.base.reading import guarded
from visae.base.seals import (
    check_belongs,
    made_of,
    read_document,
    read_npz,
    write_document,
    write_npz,
)
from visae.evals.entry import METRIC
from visae.evals.shelf import EVALS, entry_name
from visae.sae.specs import SaeSpec

FORMAT = 4
KIND = f"visae-result-{FORMAT}"
ARRAYS_FORMAT = "visae-arrays-2"

REPRESENTATIONS = ("raw", "reconstructed", "codes")

SCHEMAS = Path(__file__).parent
_SHARED = ("result.schema.json", "metric.schema.json", "task.schema.json")


@dataclass(frozen=True)
class Result:
    """A metric of one SAE, or a task done with one representation."""

    value: float | None
    """The headline; None if it could not be computed."""
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
                f"a value of None needs a reason, and only that (value {self.value}, reason "
                f"{self.reason!r})"
            )

    def document(self):
        """As it stands in the JSON document."""
        names = ("value", "reason", "readings", "details", "data")
        return {name: getattr(self, name) for name in names}


def described(backbone, layer, spec=None, sweep=None, warnings=()):
    """Whose features: those of an SAE of a sweep, or a backbone's own (`RAW`).

    spec: the SAE's SaeSpec as `text`, or None for a backbone's own. `sparsity` is K, the target L0
    or a coefficient, `k` how many features per token are meant to be active (null where the family
    has no such number, or no file says it). warnings: what speaks against the SAE
    (`visae.sae.concerns`).
    """
    about = {"backbone": backbone, "layer": layer, "name": RAW, "warnings": list(warnings)}
    if spec is None:
        return about | dict.fromkeys(("family", "expansion_factor", "sparsity", "k", "sweep"))
    spec = SaeSpec.from_text(spec)
    return about | {
        "name": spec.name,
        "family": spec.family,
        "expansion_factor": spec.expansion_factor,
        "sparsity": spec.sparsity,
        "k": spec.k,
        "sweep": sweep,
    }


def write_result(path, name, result, source, provenance, inputs=()):
    """Check the result of the eval `name` and write it to `path`, its arrays beside it.

    result: of a metric a `Result`, of a task representation → `Result`. source: from `described`.
    provenance: from `evals.provenance`. inputs: the files that were read. Raises UserError for NaN,
    infinity or a document that the schema refuses.
    """
    entry = EVALS[entry_name(name)]
    wanted = Result if entry.kind == METRIC else dict
    if not isinstance(result, wanted):
        raise UserError(
            f"{name} returned {result!r:.60}, which is no {wanted.__name__}; return one"
        )
    said = {"definition": _definition(entry, result), "higher_is_better": entry.higher_is_better}
    if isinstance(result, Result):
        outcome = result.document() | {"details": _details(entry, result)}
        document = {"metric": name, **said, **outcome, "sae": source}
        arrays = result.arrays
    else:
        outcomes = {kind: outcome.document() for kind, outcome in result.items()}
        document = {"task": name, **said, "source": source, "representations": outcomes}
        arrays = {f"{kind}_{key}": a for kind, r in result.items() for key, a in r.arrays.items()}
    document = {"format": FORMAT, **document, "provenance": provenance}
    document = {key: _plain(value, f"{name}, {key}") for key, value in document.items()}
    validate(document, path)
    if bool(arrays) != entry.arrays:
        raise UserError(
            f"{path}: {name} {'has' if arrays else 'lacks'} arrays, but `arrays` of its entry says "
            f"{entry.arrays}; change one of them"
        )
    origin = made_of(path, inputs)
    if arrays:
        write_npz(arrays_path(path), ARRAYS_FORMAT, arrays, origin)
    write_document(path, KIND, document, origin, arrays_path(path) if arrays else None)


def read_result(path):
    """The document (dict) at `path`, checked against its schema."""
    document = load(path)
    validate(document, path)
    return document


def load(path):
    """The document at `path` as it is, which was checked when it was written.

    Raises UserError for a document of another format or place, for one that has changed since, and
    for one of an eval that there is none of.
    """
    document = read_document(path, KIND)
    _entry_of(document, path)
    return document


def read_arrays(path, *names):
    """The arrays (name -> ndarray) that were written with the result at `path`, `names` among them.

    Raises UserError also where one is not of numbers, or holds infinity; NaN is: not evaluable.
    """
    arrays = read_npz(arrays_path(path), ARRAYS_FORMAT)
    check_belongs(arrays_path(path), Path(path).with_suffix(".json"))
    with guarded(arrays_path(path), "arrays of a score"):
        if missing := set(names) - arrays.keys():
            raise ValueError(f"{min(missing)} is not in it")
        for name, values in arrays.items():
            if values.dtype.kind not in "iuf":
                raise ValueError(f"{name} is {values.dtype}, no numbers")
            if np.isinf(values).any():
                raise ValueError(f"{name} holds infinity")
    return arrays


def arrays_path(path):
    """Where the arrays of the result at `path` lie."""
    return Path(path).with_suffix(".npz")


def name_of(document):
    """The eval of a document."""
    return document.get("metric") or document.get("task")


def results_of(document):
    """{representation: `Result` as a dict} of a document; None stands for a metric's only one."""
    return document["representations"] if "task" in document else {None: document}


def validate(document, where):
    """Raise UserError if `document` does not follow its schema; `where` names it."""
    entry = _entry_of(document, where)
    errors = sorted(_validator(entry).iter_errors(document), key=_telling)
    if errors:
        place = "/".join(str(part) for part in errors[0].absolute_path) or "top level"
        raise UserError(f"{where}: {errors[0].message} (at {place}); see {_schema_path(entry)}")


def _telling(error):
    """The order of errors. One value of a wrong type leaves its neighbours unevaluated: last."""
    return error.validator == "unevaluatedProperties", list(map(str, error.absolute_path))


def _entry_of(document, where):
    try:
        return entry_name(str(name_of(document)))
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


@functools.cache
def _validator(entry):
    import jsonschema
    from referencing import Registry
    from referencing import jsonschema as dialects

    files = {name: SCHEMAS / name for name in _SHARED} | {"entry": _schema_path(entry)}
    registry = Registry().with_resources(
        (name, dialects.DRAFT202012.create_resource(json.loads(file.read_text(encoding="utf-8"))))
        for name, file in files.items()
    )
    direction = {"const": EVALS[entry].higher_is_better}
    schema = {"$ref": "entry", "properties": {"higher_is_better": direction}}
    return jsonschema.Draft202012Validator(schema, registry=registry)


def _schema_path(entry):
    """The entry's `schema.json`; UserError if it has none."""
    found = [path for path in EVALS.files(entry) if path.name == "schema.json"]
    if not found:
        raise UserError(f"{EVALS.what} {entry!r} has no schema; add schema.json to its folder")
    return found[0]


def _definition(entry, result):
    details = result.details if isinstance(result, Result) else {}
    try:
        return entry.definition.format(**details)
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"the definition {entry.definition!r} has {error} in braces, which is not among the "
            f"details of the result ({', '.join(details)}); correct the entry"
        ) from None


def _details(entry, result):
    """The details of a metric's result, with the definition of its reading `as_run`."""
    if entry.as_run is None:
        return result.details
    said = asdict(entry.as_run)
    said["definition"] = said["definition"].format(**result.details)
    return result.details | {"as_run": said}


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
