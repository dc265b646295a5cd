"""The relay: publishes the log to NATS JetStream, where the sequence of a message is its position in the log."""

from services.projections.relay.publication import Diverged, Misconfigured, Relay
from services.projections.relay.stream import RELAY_INBOX, connect, create_stream, make_stream

__all__ = ["RELAY_INBOX", "Diverged", "Misconfigured", "Relay", "connect", "create_stream", "make_stream"]
