"""What a downstream task leaves behind: one JSON document per task and source of features.

It is `downstream/{backbone}/layer{layer}/{sae or raw}/{task}.json`. A backbone's own features
have one representation (`raw`), an SAE has two (`reconstructed`, `codes`). The document is
checked against rules/schemas/downstream.schema.json before it is written; "could not be
computed" is null with a reason, never 0.
"""

import functools
import json
from dataclasses import asdict, dataclass, field

from visae.base import repository
from visae.base.errors import UserError
from visae.base.files import read_json, write_json

SCHEMA = repository.SCHEMAS / "downstream.schema.json"

RETRIEVAL, SEGMENTATION = "retrieval", "segmentation"
CLASSIFICATION = "classification_"
"""Followed by the name of the data set."""

REPRESENTATIONS = ("raw", "reconstructed", "codes")

DEFINITIONS = {
    RETRIEVAL: (
        "R@1: share of the held-out evaluation images whose nearest other held-out image (cosine "
        "of features max-pooled over patches) is of the same class"
    ),
    SEGMENTATION: (
        "mIoU of a linear head on single patches, trained on the training split: mean over classes "
        "of intersection over union, from one confusion matrix over all labelled test patches"
    ),
    CLASSIFICATION: (
        "top-1 accuracy on the test split of a multinomial logistic regression on features "
        "max-pooled over patches, trained on the training split"
    ),
}


@dataclass(frozen=True)
class Outcome:
    """One task done with one representation."""

    value: float | None
    """The headline: R@1, mIoU or accuracy; None if it could not be computed."""
    reason: str | None = None
    """Why `value` is None; None otherwise."""
    readings: dict = field(default_factory=dict)
    """Other named numbers (or None)."""
    details: dict = field(default_factory=dict)
    """Settings and whatever else explains the value (JSON types)."""
    data: dict = field(default_factory=dict)
    """Counts of what was there and what was eligible."""

    def __post_init__(self):
        if (self.value is None) != bool(self.reason):
            raise UserError(
                f"a downstream value of None needs a reason, and only that (value {self.value}, "
                f"reason {self.reason!r})"
            )


def source(backbone, layer, name="raw", family=None, expansion_factor=None, k=None, sweep=None):
    """Whose features: a backbone's own (name `raw`, no family …), or those of the SAE `name`."""
    return {
        "backbone": backbone,
        "layer": layer,
        "name": name,
        "family": family,
        "expansion_factor": expansion_factor,
        "k": k,
        "sweep": sweep,
    }


def write_result(path, task, outcomes, source, provenance):
    """Check the outcomes of `task` (representation → Outcome) and write them to `path`.

    source: from `source`. provenance: from `evals.provenance`. Raises UserError for a document
    that the schema refuses.
    """
    document = {
        "task": task,
        "definition": definition(task),
        "higher_is_better": True,
        "source": source,
        "representations": {name: asdict(outcome) for name, outcome in outcomes.items()},
        "provenance": provenance,
    }
    validate(document, path)
    write_json(path, document)


def read_result(path):
    """The document (dict) at `path`, checked against the schema."""
    document = read_json(path)
    validate(document, path)
    return document


def definition(task):
    """What the headline of `task` is, in one sentence."""
    kind = CLASSIFICATION if task.startswith(CLASSIFICATION) else task
    if kind not in DEFINITIONS:
        raise UserError(
            f"there is no downstream task {task!r}; tasks are {RETRIEVAL}, {SEGMENTATION} and "
            f"{CLASSIFICATION}<data set>"
        )
    return DEFINITIONS[kind]


def validate(document, where):
    """Raise UserError if `document` does not follow the schema; `where` names it."""
    errors = sorted(_validator().iter_errors(document), key=lambda e: list(e.absolute_path))
    if errors:
        place = "/".join(str(part) for part in errors[0].absolute_path) or "top level"
        raise UserError(
            f"{where}: {errors[0].message} (at {place}); see rules/schemas/{SCHEMA.name}"
        )


@functools.cache
def _validator():
    import jsonschema

    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
