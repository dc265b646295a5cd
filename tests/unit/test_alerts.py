"""Alerts and documents speak of metrics that there are."""

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry

import services.projections.transparency.metrics
from services.accesses.recorder import Recorder
from services.projections.metrics import FOLLOWERS

ROOT = Path(__file__).parent.parent.parent
COLLECTED = {
    *("certibranche_transparency_served_size", "certibranche_transparency_waiting_entries", "certibranche_lease"),
}
"""Made when they are asked for, by collectors."""

assert services.projections.transparency.metrics


def names() -> set[str]:
    """Every series that a process of ours can show."""
    Recorder(accesses := CollectorRegistry(), keep_days=365)
    families = [*FOLLOWERS.collect(), *REGISTRY.collect(), *accesses.collect()]
    suffixes = {"counter": "_total"}
    return COLLECTED | {family.name + suffixes.get(family.type, "") for family in families}


@pytest.mark.parametrize("path", [*ROOT.glob("deploy/alerts/*.yml")], ids=lambda path: path.name)
def test_an_alert_is_on_metrics_that_there_are(path: Path) -> None:
    expressions = re.findall(r"^ +expr: (.+)$", path.read_text(), re.MULTILINE)
    assert expressions
    for expression in expressions:
        asked = set(re.findall(r"certibranche_\w+", expression))
        assert asked, expression
        assert asked <= names(), expression
        assert expression.count("(") == expression.count(")")


def test_what_is_documented_of_the_transparency_log_is_there() -> None:
    rows = re.findall(r"^\| (`.+?) \| ", (ROOT / "docs/transparency.md").read_text(), re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)(?:\{[\w,]+\})?`", row)}
    assert {"signed_size", "witness_failures_total"} <= documented
    assert {f"certibranche_transparency_{name}" for name in documented} <= names()
