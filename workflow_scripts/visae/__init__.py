"""The library behind the workflow: everything that can be used and tested without Snakemake."""

import gc
import importlib

# Importing torch and the libraries of backbones makes many objects and hardly any garbage. Python
# would look for some after every 700; looking less often saves a seventh of the time.
gc.set_threshold(100_000, *gc.get_threshold()[1:])


def open_study(folder):
    """The study whose results lie in `folder`: see `visae.interface.study.OpenStudy`."""
    # By name: torch only where it is asked for, and no part of any job's code (`of_code`).
    return importlib.import_module("visae.interface.study").OpenStudy(folder)
