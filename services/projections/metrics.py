"""What followers count. Their processes have no HTTP port: it travels with the leases (exposition.py)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FOLLOWERS = CollectorRegistry()

EVENTS = Counter("certibranche_view_events", "Events that the view has gone past", ["view"], registry=FOLLOWERS)
FAILURES = Counter(
    "certibranche_view_failures",
    "Batches that were not applied and will be tried again",
    ["view", "kind"],
    registry=FOLLOWERS,
)
PARKED = Counter(
    "certibranche_view_poison",
    "Events that the fold could not take, and that were parked",
    ["view"],
    registry=FOLLOWERS,
)
BATCH_EVENTS = Histogram(
    "certibranche_view_batch_events",
    "Events in a batch",
    ["view"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000),
    registry=FOLLOWERS,
)
BATCH_SECONDS = Histogram(
    "certibranche_view_batch_seconds", "Time to read, fold and commit a batch", ["view"], registry=FOLLOWERS
)

RELAY_EVENTS = Counter("certibranche_relay_events", "Events that this relay has published", registry=FOLLOWERS)
RELAY_FAILURES = Counter(
    "certibranche_relay_failures", "Chunks whose publication failed or lost a race", ["kind"], registry=FOLLOWERS
)

# What the HTTP process sees of the stream itself (relay/sight.py), whether a relay runs or not.
RELAY_POSITION = Gauge("certibranche_relay_position", "Last sequence of the stream, which is a position of the log")
RELAY_LAG_POSITIONS = Gauge("certibranche_relay_lag_positions", "Positions of the log that are not in the stream yet")
RELAY_DIVERGED = Gauge("certibranche_relay_diverged", "1 when the stream holds another history than the log")
STREAM_FIRST = Gauge("certibranche_stream_first_sequence", "First sequence that the stream still has", ["stream"])
STREAM_LAST = Gauge("certibranche_stream_last_sequence", "Last sequence of the stream", ["stream"])
_CONSUMER = ("stream", "consumer")
CONSUMER_PENDING = Gauge("certibranche_consumer_pending", "Messages that a consumer has yet to be sent", _CONSUMER)
CONSUMER_ACK_PENDING = Gauge(
    "certibranche_consumer_ack_pending", "Messages that a consumer has not acknowledged", _CONSUMER
)
CONSUMER_REDELIVERED = Gauge("certibranche_consumer_redelivered", "Messages that a consumer was sent again", _CONSUMER)
