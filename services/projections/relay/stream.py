"""The stream: how it is configured, who makes it, and how its servers are connected to."""

import ssl
from typing import Any

import msgspec
import nats
import stamina
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, BadRequestError

from contracts.subjects import STREAM, SUBJECT_PREFIX

CONNECT_TIMEOUT_S = 2
RECONNECT_WAIT_S = 0.2
PING_S = 5

DUPLICATE_WINDOW_S = 120.0
"""Of no use to us, but a server refuses one that is longer than the age."""

_NAME_IN_USE = 10058
"""A stream of this name exists with another configuration; with the same one there is no error."""

_NOT_MADE = 10049
"""Whatever has no code of its own, among it that the server could not make the stream's files."""

_MAKING_PATIENCE_S = 5.0

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.projections")


class Servers(msgspec.Struct, frozen=True):
    """NATS servers, and who we are to them.

    url: one or several, separated by commas; may name user and password.
    nkey: the seed of the user's key, where it has one. ca: path of the certificates that servers are checked against.
    """

    url: str
    nkey: str | None = None
    ca: str | None = None

    def __repr__(self) -> str:
        return "<Servers>"  # never a secret in a log


class Retention(msgspec.Struct, frozen=True):
    """How long and how often the stream keeps a message.

    max_age_s: older ones leave it; None: none does. replicas: on how many servers of a cluster.
    """

    max_age_s: float | None = None
    replicas: int = 1


FOR_EVER = Retention()


def stream_config(name: str = STREAM, retention: Retention = FOR_EVER) -> StreamConfig:
    """Nothing leaves the stream but by age: a message that was deleted would be a hole in history."""
    return StreamConfig(
        name=name,
        description="The log of the registry: the sequence of a message is its position",
        subjects=[f"{SUBJECT_PREFIX}.>"],
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_age=retention.max_age_s or 0,
        duplicate_window=min(retention.max_age_s or DUPLICATE_WINDOW_S, DUPLICATE_WINDOW_S),
        num_replicas=retention.replicas,
        deny_delete=True,
        deny_purge=True,
        allow_direct=True,
        allow_atomic=True,
    )


async def connect(servers: Servers, **options: Any) -> Client:
    """A connection that comes back for ever.

    What is published while there is no connection fails at once instead of being sent later, behind our back.
    """

    async def on_error(error: Exception) -> None:
        _log.warning("nats.error", error=repr(error))

    if servers.ca is not None:
        options["tls"] = ssl.create_default_context(cafile=servers.ca)
    if servers.nkey is not None:
        options["nkeys_seed_str"] = servers.nkey
    return await nats.connect(
        servers=servers.url.split(","),
        name="certibranche",
        error_cb=on_error,
        pending_size=-1,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_WAIT_S,
        connect_timeout=CONNECT_TIMEOUT_S,
        ping_interval=PING_S,
        **options,
    )


def _not_made(error: Exception) -> bool:
    return isinstance(error, APIError) and error.err_code == _NOT_MADE


async def add_stream(jetstream: JetStreamContext, config: StreamConfig) -> None:
    """Make the stream, also just after another one was deleted.

    When an account loses its last stream, the server takes the account's empty folder away a moment later, also from
    under a stream that is being made there (2.15.1: one in some 250). Asked again it makes it.
    """
    async for attempt in stamina.retry_context(on=_not_made, attempts=None, timeout=_MAKING_PATIENCE_S):
        with attempt:
            await jetstream.add_stream(config)


async def make_stream(jetstream: JetStreamContext, name: str = STREAM) -> None:
    """Make the stream unless there is one. An existing one is left as it is.

    Raises what nats-py raises: TimeoutError also when the connection's user may not make streams.
    """
    try:
        await add_stream(jetstream, stream_config(name))
    except BadRequestError as error:
        if error.err_code != _NAME_IN_USE:
            raise
        _log.warning("stream.differs", stream=name, error=str(error))


async def migrate_stream(servers: Servers, name: str = STREAM, retention: Retention = FOR_EVER) -> None:
    """Make the stream, or let an existing one keep messages as long and as often as `retention` says.

    The user must be allowed to create and update streams. Whatever else an operator has changed stays.
    """
    client = await connect(servers)
    try:
        jetstream = client.jetstream()
        wanted = stream_config(name, retention)
        try:
            await add_stream(jetstream, wanted)
            return
        except BadRequestError as error:
            if error.err_code != _NAME_IN_USE:
                raise
        present = (await jetstream.stream_info(name)).config
        if (present.max_age or 0, present.num_replicas) != (wanted.max_age, wanted.num_replicas):
            kept = {"max_age": wanted.max_age, "duplicate_window": wanted.duplicate_window}
            await jetstream.update_stream(present.evolve(**kept, num_replicas=wanted.num_replicas))
            _log.info("stream.updated", stream=name, max_age_s=wanted.max_age, replicas=wanted.num_replicas)
    finally:
        await client.close()
