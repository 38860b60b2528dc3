"""Where a score comes from: hashes of code and inputs, versions of what computed it."""

import importlib.metadata
import json
import platform
from collections import Counter
from pathlib import Path

from visae.errors import UserError
from visae.files import read_json

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


def check_comparable(paths):
    """The versions that scores (or downstream results) differ in, as sentences; empty if none.

    paths: of the JSON documents that one table is made of. Raises UserError when a metric (or
    task) was computed by different code or with different settings for some of them, or from
    different activations of the same backbone, or from different weights of the same SAE: such
    values cannot be compared.
    """
    ways, data, versions = {}, {}, {}
    for path in map(Path, paths):
        document = read_json(path)
        told, source = document["provenance"], document.get("sae") or document["source"]
        kind = "a backbone's own features" if source["name"] == "raw" else "SAEs"
        metric = document.get("metric") or document["task"]
        ways.setdefault(f"the code of {metric} for {kind}", {})[path] = " ".join(told["code"])
        settings = json.dumps(told["settings"], sort_keys=True)
        ways.setdefault(f"the settings of {metric} for {kind}", {})[path] = settings
        place = f"{source['backbone']} at block {source['layer']}"
        for name, fingerprint in told["inputs"].items():
            what = f"the weights of {source['name']}" if name == "sae" else name
            data.setdefault(f"{what} on {place}", {})[path] = fingerprint
        for package, version in told["versions"].items():
            versions.setdefault(package, {})[path] = version
    for what, values in (ways | data).items():
        if odd := _odd(values):
            raise UserError(
                f"{odd[0]} {f'and {len(odd) - 1} more differ' if odd[1:] else 'differs'} from the "
                f"other {len(values) - len(odd)} in {what}, so one table would mix results that "
                "cannot be compared: remove the files that are out of date and run the workflow "
                "again"
            )
    return [
        f"computed with different versions of {package}: {dict(Counter(values.values()))}"
        for package, values in versions.items()
        if _odd(values)
    ]


def _odd(values):
    """The paths whose value is not the most frequent one, in order."""
    [(usual, _)] = Counter(values.values()).most_common(1)
    return [path for path, value in values.items() if value != usual]


def _versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
