"""What every test may ask for."""

import pytest

pytest.register_assert_rewrite("tests.domain.harness")
"""Its assertions say what differs, whoever imports it first."""

pytest_plugins = ["tests.servers", "tests.installation"]
