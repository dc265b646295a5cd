"""Benchmarks: ratios to a baseline in the same run, never part of the test suite. `make bench` runs them all."""
