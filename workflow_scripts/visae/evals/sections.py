"""The sections `metrics` and `downstream` of the config: what can be set there, and what is asked.

Their schema is put together from the entries' settings. A sweep may list its metrics. Any other is
scored on the paper's, on those that have a section under `metrics`, and on those that stand in a
folder of `extensions`. So a new entry on the shelf changes no study until somebody asks for it.
"""

from visae.evals import shelf
from visae.evals.entry import METRIC, defaults
from visae.evals.shelf import EVALS


def properties(kind):
    """{name: JSON schema of its section} of all evals of a kind, in their order."""
    names = shelf.metrics() if kind == METRIC else shelf.tasks()
    return {name: _section(name, EVALS[name]) for name in names}


def with_evals(schema):
    """The config's schema with the sections of all evals in it; changes and returns `schema`."""
    sections = schema["properties"]
    sections["metrics"]["properties"] = properties("metric")
    sections["downstream"]["properties"] |= properties("task")
    schema["$defs"]["sweep"]["properties"]["metrics"]["items"] = {"enum": shelf.metrics()}
    return schema


def asked(config):
    """Names of the metrics that sweeps without a list of their own are scored on.

    config: a checked one. M6 is among them even if there is no data set for it.
    """
    return [m for m in shelf.metrics() if EVALS[m].in_paper or m in config["metrics"]]


def computed(config):
    """Names of all metrics that some sweep of a checked config is to be scored on."""
    wanted = asked(config)
    named = {m for entry in config["sweeps"].values() for m in entry.get("metrics", wanted)}
    return [metric for metric in shelf.metrics() if metric in named]


def tasks_asked(config):
    """Names of the tasks that a checked config asks for."""
    chosen = config["downstream"] or {}
    return [name for name in shelf.tasks() if chosen.get(name) not in (None, False)]


def settings_of(name, config):
    """The settings of an eval in a checked config, with defaults."""
    entry = shelf.entry_name(name)
    section = config["metrics" if EVALS[entry].kind == METRIC else "downstream"] or {}
    chosen = section.get(entry)
    return defaults(EVALS[entry].settings) | (chosen if isinstance(chosen, dict) else {})


def _section(name, entry):
    wanted = entry.by_default or EVALS.is_extension(name)
    description = f"{entry.title}: {entry.definition}"
    if entry.kind != METRIC and not entry.settings:
        return {"description": description, "type": "boolean", "default": wanted}
    section = {
        "description": description,
        "type": "object" if entry.kind == METRIC else ["object", "null"],
        "additionalProperties": False,
        "properties": dict(entry.settings),
        "required": entry.required,
    }
    if entry.kind == METRIC:
        always = (entry.in_paper or EVALS.is_extension(name)) and not entry.required
        return section | ({"default": {}} if always else {})
    return section | {"default": {} if wanted and not entry.required else None}
