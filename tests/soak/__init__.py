"""Soaks: long runs with commands of their own, not part of the test suite."""
