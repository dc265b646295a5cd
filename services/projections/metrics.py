"""What a running follower tells an operator, in the names that dashboards and alerts use."""

from prometheus_client import Counter, Gauge, Histogram

POSITION = Gauge("certibranche_view_position", "Last position of the log that the view has applied", ["view"])
LAG_POSITIONS = Gauge(
    "certibranche_view_lag_positions", "Positions of the log that the view has yet to apply", ["view"]
)
LAG_SECONDS = Gauge("certibranche_view_lag_seconds", "Age of the oldest event that the view has yet to apply", ["view"])
EVENTS = Counter("certibranche_view_events", "Events that the view has gone past", ["view"])
FAILURES = Counter(
    "certibranche_view_failures", "Batches that were not applied and will be tried again", ["view", "kind"]
)
BATCH_EVENTS = Histogram(
    "certibranche_view_batch_events", "Events in a batch", ["view"], buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
)
BATCH_SECONDS = Histogram("certibranche_view_batch_seconds", "Time to read, fold and commit a batch", ["view"])

RELAY_POSITION = Gauge("certibranche_relay_position", "Last sequence of the stream, which is a position of the log")
RELAY_LAG_POSITIONS = Gauge("certibranche_relay_lag_positions", "Positions of the log that are not in the stream yet")
RELAY_EVENTS = Counter("certibranche_relay_events", "Events that this relay has published")
RELAY_FAILURES = Counter("certibranche_relay_failures", "Chunks whose publication failed or lost a race", ["kind"])
RELAY_DIVERGED = Gauge("certibranche_relay_diverged", "1 when the stream holds another history than the log")
