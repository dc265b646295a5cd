"""Assertions of the harness say what differs."""

import pytest

pytest.register_assert_rewrite("tests.domain.harness")
