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

# As prometheus-nats-exporter names them, so that dashboards made for it serve here too.
_CONSUMER = ("stream_name", "consumer_name")
STREAM_FIRST = Gauge("jetstream_stream_first_seq", "First sequence that the stream still holds", ["stream_name"])
STREAM_LAST = Gauge("jetstream_stream_last_seq", "Last sequence of the stream", ["stream_name"])
CONSUMER_PENDING = Gauge("jetstream_consumer_num_pending", "Events that a consumer has yet to be given", _CONSUMER)
CONSUMER_ACK_PENDING = Gauge(
    "jetstream_consumer_num_ack_pending", "Events that were given and not acknowledged yet", _CONSUMER
)
CONSUMER_REDELIVERED = Gauge(
    "jetstream_consumer_num_redelivered", "Events that were given again and not acknowledged yet", _CONSUMER
)
