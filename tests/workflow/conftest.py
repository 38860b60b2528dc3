"""Studies that have run, each once for all tests."""

import pytest
from workflow_fixtures import copy_repository, snakemake, tiny_config


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A copy of the repository in which the tiny study has run to its end."""
    folder = copy_repository(tmp_path_factory.mktemp("workflow"))
    snakemake(folder, config=tiny_config())
    return folder
