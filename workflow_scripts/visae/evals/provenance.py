"""Where a score comes from: hashes of code and inputs, versions of what computed it."""

import importlib.metadata
import json
import platform
from collections import Counter

from visae.base.errors import UserError
from visae.evals.results import load

PACKAGES = ("h5py", "numba", "numpy", "scipy", "snakemake", "torch")


def provenance(code, inputs, settings):
    """The `provenance` of a score or of a downstream result.

    code: hash, or list of hashes, of the code that ran. inputs: name → fingerprint. settings: what
    of the config it depends on, as a mapping.
    """
    return {
        "code": [code] if isinstance(code, str) else list(code),
        "inputs": dict(inputs),
        "settings": dict(settings),
        "versions": {"python": platform.python_version()} | _versions(),
    }


def read_origin(path):
    """The origin of one score or downstream result: what others in its table must agree in.

    A mapping: `same`, from what it is (in words) to its value; `versions`, from package to
    {version: 1}, which may differ.
    """
    document = load(path)
    told, source = document["provenance"], document.get("sae") or document["source"]
    kind = "a backbone's own features" if source["name"] == "raw" else "SAEs"
    metric = document.get("metric") or document["task"]
    place = f"{source['backbone']} at block {source['layer']}"
    same = {
        f"the code of {metric} for {kind}": " ".join(told["code"]),
        f"the settings of {metric} for {kind}": json.dumps(told["settings"], sort_keys=True),
    }
    for name, fingerprint in told["inputs"].items():
        what = f"the weights of {source['name']}" if name == "sae" else name
        same[f"{what} on {place}"] = fingerprint
    return {"same": same, "versions": {p: {v: 1} for p, v in told["versions"].items()}}


def common_origin(origins):
    """The origin of a table, from those of its parts (file, or name of a part → origin).

    Raises UserError when a metric (or task) was computed by different code or with different
    settings for some of them, or from different activations of the same backbone, or from
    different weights of the same SAE: such values cannot be compared.
    """
    values, versions = {}, {}
    for part, origin in origins.items():
        for what, value in origin["same"].items():
            values.setdefault(what, {})[part] = value
        for package, counts in origin["versions"].items():
            versions.setdefault(package, Counter()).update(counts)
    for what, by_part in values.items():
        if odd := _odd(by_part):
            raise UserError(
                f"{odd[0]} {f'and {len(odd) - 1} more differ' if odd[1:] else 'differs'} from the "
                f"other {len(by_part) - len(odd)} in {what}, so one table would mix results that "
                "cannot be compared: remove the results that are out of date and run the "
                "workflow again"
            )
    return {
        "same": {what: next(iter(by_part.values())) for what, by_part in values.items()},
        "versions": {package: dict(counts) for package, counts in versions.items()},
    }


def remarks(origin):
    """The versions that the parts of a table differ in, one line each; empty if none."""
    return "".join(
        f"  computed with different versions of {package}: {counts}\n"
        for package, counts in origin["versions"].items()
        if len(counts) > 1
    )


def _odd(values):
    """The parts whose value is not the most frequent one, in order."""
    [(usual, _)] = Counter(values.values()).most_common(1)
    return [part for part, value in values.items() if value != usual]


def _versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
