"""What every test may ask for."""

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.domain.harness")
"""Its assertions say what differs, whoever imports it first."""

settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")
"""A slow machine is no failure: how long a test may take, pytest-timeout says."""

pytest_plugins = ["tests.servers", "tests.installation"]
