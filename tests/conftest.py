"""What holds for all tests: annotated shapes are checked, and the longest file is begun first."""

import checked_shapes

checked_shapes.install()


def pytest_collection_modifyitems(items):
    """Slurm's tests wait more than they compute: at the end nothing would be left beside them."""
    items.sort(key=lambda item: item.path.name != "test_slurm.py")
