"""The configs of the repository, to be changed by tests."""

import copy
import functools
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def _load(path):
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


def paper_config():
    """A fresh copy of the paper's config."""
    return copy.deepcopy(_load("config.yaml"))


def kept_config():
    """The paper's config, with all activations kept that are read."""
    config = paper_config()
    del config["sweeps"]["layer_3"]["storage"]
    return config


def as_run_config():
    """A fresh copy of the config of the paper as it was run."""
    return copy.deepcopy(_load("as_run.yaml"))


def released_config():
    """The same with the released SAEs, merged as Snakemake merges two config files."""
    config, over = as_run_config(), copy.deepcopy(_load("as_run_released.yaml"))
    config["sweeps"]["main"] |= over["sweeps"]["main"]
    return config | {"study": over["study"]}


def demo_config():
    """A fresh copy of the demo's config."""
    return copy.deepcopy(_load("profiles/demo/study.yaml"))


def change(config, path, value):
    """Set `config`'s entry at the dotted `path`."""
    *parents, last = path.split(".")
    for key in parents:
        config = config[key]
    config[last] = value
