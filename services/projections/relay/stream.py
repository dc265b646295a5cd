"""The stream: how it is configured, who makes it, and how its servers are connected to."""

from typing import Any

import nats
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError

from contracts.subjects import STREAM, SUBJECT_PREFIX

RELAY_INBOX = "_INBOX_relay"
"""Where answers to the relay go, so that its user need not listen to those of others."""

CONNECT_TIMEOUT_S = 2
RECONNECT_WAIT_S = 0.2
PING_S = 5

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.projections")


def stream_config(name: str = STREAM) -> StreamConfig:
    """Nothing leaves the stream: a message that was deleted or aged would be a hole in history."""
    return StreamConfig(
        name=name,
        description="The log of the registry: the sequence of a message is its position",
        subjects=[f"{SUBJECT_PREFIX}.>"],
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        deny_delete=True,
        deny_purge=True,
        allow_direct=True,
        allow_atomic=True,
    )


async def connect(url: str, *, inbox_prefix: str = RELAY_INBOX, **options: Any) -> Client:
    """A connection to the servers of `url` (separated by commas), reconnecting for ever.

    What is published while there is no connection fails at once instead of being sent later, behind our back.
    """

    async def on_error(error: Exception) -> None:
        _log.warning("nats.error", error=repr(error))

    return await nats.connect(
        servers=url.split(","),
        name="certibranche relay",
        inbox_prefix=inbox_prefix,
        error_cb=on_error,
        pending_size=-1,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_WAIT_S,
        connect_timeout=CONNECT_TIMEOUT_S,
        ping_interval=PING_S,
        **options,
    )


async def make_stream(jetstream: JetStreamContext, name: str = STREAM) -> None:
    """Make the stream unless there is one. An existing one is left as it is.

    Raises what nats-py raises: TimeoutError also when the connection's user may not make streams.
    """
    try:
        await jetstream.add_stream(stream_config(name))
    except BadRequestError as error:
        if error.err_code != _NAME_IN_USE:
            raise
        _log.warning("stream.differs", stream=name, error=str(error))


_NAME_IN_USE = 10058
"""A stream of this name exists with another configuration; with the same one there is no error."""


async def create_stream(url: str, name: str = STREAM) -> None:
    """Make the stream on the servers of `url`, whose user may create streams, unless there is one."""
    client = await connect(url, inbox_prefix="_INBOX")
    try:
        await make_stream(client.jetstream(), name)
    finally:
        await client.close()
