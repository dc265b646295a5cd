"""What the publisher of the transparency log counts. Its process has no HTTP port: it travels with its lease."""

from prometheus_client import Counter, Gauge

from services.projections.metrics import FOLLOWERS

SIGNED_SIZE = Gauge(
    "certibranche_transparency_signed_size", "Entries in the last signed checkpoint", registry=FOLLOWERS
)
SIGNED_AT = Gauge(
    "certibranche_transparency_signed_timestamp_seconds", "When the last checkpoint was signed", registry=FOLLOWERS
)
FAILURES = Counter(
    "certibranche_transparency_failures",
    "Attempts to publish that failed: unreachable, refused (by the signing guard, or what is there), or halted",
    ["kind"],
    registry=FOLLOWERS,
)
WITNESS_SIZE = Gauge(
    "certibranche_transparency_witness_size",
    "Entries in the last checkpoint that a witness has cosigned",
    ["witness"],
    registry=FOLLOWERS,
)
WITNESS_FAILURES = Counter(
    "certibranche_transparency_witness_failures",
    "Checkpoints that a witness has not cosigned: unreachable, halted, or what it refused for (docs/transparency.md)",
    ["witness", "kind"],
    registry=FOLLOWERS,
)
