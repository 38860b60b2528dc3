"""The library behind the workflow: everything that can be used and tested without Snakemake."""

import atexit
import gc
import sys

# Importing torch and the libraries of backbones makes many objects and hardly any garbage. Python
# would look for some after every 700; looking less often saves a seventh of the time.
gc.set_threshold(100_000, *gc.get_threshold()[1:])


@atexit.register
def _leave():
    """At exit Python looks through all objects several times; frozen ones it leaves alone."""
    # Triton, which torchvision brings along, would complain of leaks.
    if "triton" not in sys.modules:
        gc.freeze()
