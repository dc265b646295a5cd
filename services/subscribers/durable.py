"""A subscriber's durable consumer: its cursor in the stream."""

from collections.abc import Sequence

from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError, NotFoundError

from services.embedded import CannotRun
from services.projections.relay.stream import Servers, connect

ACK_WAIT_S = 30.0
ACK_PENDING_MAX = 1_000


async def make_durable(servers: Servers, stream: str, name: str, filters: Sequence[str]) -> int:
    """Make the durable consumer, unless it is there with the same filters; the first sequence the stream still holds.

    The user must be allowed to make consumers. CannotRun when that is impossible.
    """
    config = ConsumerConfig(
        durable_name=name,
        description=f"The cursor of subscriber {name}",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_S,
        max_ack_pending=ACK_PENDING_MAX,
        filter_subjects=list(filters) or None,
    )
    try:
        client = await connect(servers, allow_reconnect=False)
        try:
            jetstream = client.jetstream()
            first = (await jetstream.stream_info(stream)).state.first_seq
            present = await _filters(jetstream, stream, name)
            if present is not None and present != set(filters):
                raise CannotRun(f"subscriber {name} exists with other filters: {' '.join(sorted(present)) or 'none'}")
            if present is None:
                await jetstream.add_consumer(stream, config)
            return first
        finally:
            await client.close()
    except NotFoundError as error:
        raise CannotRun(f"there is no stream {stream} yet: `certibranche migrate` makes it") from error
    except APIError as error:
        raise CannotRun(f"NATS refuses the consumer: {error.description}") from error
    except TimeoutError as error:
        raise CannotRun("NATS does not answer: its user must be allowed to make consumers") from error
    except (Error, OSError) as error:
        raise CannotRun(f"NATS is out of reach: {error}") from error


async def _filters(jetstream: JetStreamContext, stream: str, name: str) -> set[str] | None:
    """The filters of a consumer; None when it does not exist."""
    try:
        config = (await jetstream.consumer_info(stream, name)).config
    except NotFoundError:
        return None
    return set(config.filter_subjects or ([config.filter_subject] if config.filter_subject else []))
