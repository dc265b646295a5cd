"""Elections take their time: these tests run when they are asked for, `make test-cluster`."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave them out unless the command line names them."""
    return None if any("cluster" in argument for argument in config.args) else True
