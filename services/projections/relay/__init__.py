"""The relay: publishes the log to NATS JetStream, where the sequence of a message is its position in the log."""

from services.projections.relay.publication import Behind, Diverged, Misconfigured, Relay
from services.projections.relay.sight import Sight
from services.projections.relay.stream import (
    FOR_EVER,
    Retention,
    Servers,
    add_stream,
    connect,
    make_stream,
    migrate_stream,
)

__all__ = [
    "FOR_EVER",
    "Behind",
    "Diverged",
    "Misconfigured",
    "Relay",
    "Retention",
    "Servers",
    "Sight",
    "add_stream",
    "connect",
    "make_stream",
    "migrate_stream",
]
