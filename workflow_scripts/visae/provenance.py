"""Where a score comes from: hashes of code and inputs, versions of what computed it."""

import importlib.metadata
import platform

PACKAGES = ("h5py", "numpy", "scikit-learn", "scipy", "snakemake", "torch")


def provenance(code, inputs):
    """The `provenance` of a score.

    code: hash, or list of hashes, of the code that ran. inputs: name → fingerprint.
    """
    return {
        "code": code if isinstance(code, str) else list(code),
        "inputs": dict(inputs),
        "versions": {"python": platform.python_version()} | _versions(),
    }


def _versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
