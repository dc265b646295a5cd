"""Who may do what on the embedded NATS: the relay alone writes, a reader reads by any means, nobody takes away."""

import contextlib
from collections.abc import AsyncIterator

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.errors import TimeoutError as Refused  # NATS answers what is not permitted to nobody
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import BadRequestError

from contracts.subjects import STREAM
from services.embedded.nats import Nats
from services.projections.relay import add_stream
from services.subscribers.accounts import SUBJECTS
from tests.integration.filled_log import until

SUBJECT = "certibranche.v1.37.candidate.registered.cqpm-2014-0300"


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A connection, and the violations the server reports on it."""
    violations: list[str] = []

    async def note(error: Exception) -> None:
        violations.append(str(error).lower())

    connection = await nats.connect(url, error_cb=note)
    yield connection, violations
    await connection.close()


@pytest_asyncio.fixture
async def server(nats_server: Nats) -> Nats:
    """The server with the stream and one message in it, published by the relay."""
    async with connected(nats_server.admin_url) as (admin, _):
        stream = StreamConfig(STREAM, subjects=[SUBJECTS], allow_direct=True, deny_delete=True, deny_purge=True)
        await add_stream(admin.jetstream(), stream)
    async with connected(nats_server.relay_url) as (relay, _):
        await relay.jetstream().publish(SUBJECT, b"one", headers={"Nats-Expected-Last-Sequence": "0"})
    return nats_server


async def test_a_reader_reads_by_any_means(server: Nats) -> None:
    async with connected(server.reader_url) as (reader, violations):
        stream = reader.jetstream()
        assert (await stream.stream_info(STREAM)).state.last_seq == 1
        assert (await stream.get_msg(STREAM, 1)).data == b"one"
        assert (await stream.get_msg(STREAM, 1, direct=True)).data == b"one"
        pull = await stream.pull_subscribe(SUBJECTS, durable="auditor", stream=STREAM)
        [message] = await pull.fetch(1, timeout=5)
        await message.ack_sync()
        async with connected(server.relay_url) as (relay, _):
            await relay.jetstream().publish(SUBJECT, b"two")
        ordered = await stream.subscribe(SUBJECTS, ordered_consumer=True)
        assert (await ordered.next_msg(timeout=5)).data == b"one"
        assert (await stream.consumer_info(STREAM, "auditor")).ack_floor.stream_seq == 1
        await stream.reset_consumer(STREAM, "auditor", seq=1)
        assert [message.data for message in await pull.fetch(2, timeout=5)] == [b"one", b"two"]
        assert await stream.delete_consumer(STREAM, "auditor")
        assert violations == []


@pytest.mark.parametrize(
    "subject",
    [
        f"$JS.API.STREAM.PURGE.{STREAM}",
        f"$JS.API.STREAM.DELETE.{STREAM}",
        f"$JS.API.STREAM.UPDATE.{STREAM}",
        f"$JS.API.STREAM.MSG.DELETE.{STREAM}",
        "$JS.API.STREAM.CREATE.OTHER",
    ],
)
async def test_a_reader_changes_nothing(server: Nats, subject: str) -> None:
    async with connected(server.reader_url) as (reader, _):
        with pytest.raises(Refused):
            await reader.request(subject, b"{}", timeout=0.3)
    async with connected(server.admin_url) as (admin, _):
        assert (await admin.jetstream().stream_info(STREAM)).state.last_seq == 1


async def test_a_reader_does_not_publish(server: Nats) -> None:
    async with connected(server.reader_url) as (reader, violations):
        with pytest.raises(Refused):
            await reader.jetstream().publish(SUBJECT, b"two", timeout=0.3)

        async def reported() -> bool:
            return bool(violations)

        await until(reported)
        assert [f'publish to "{SUBJECT}"' in violation for violation in violations] == [True]
    async with connected(server.admin_url) as (admin, _):
        assert (await admin.jetstream().stream_info(STREAM)).state.last_seq == 1


async def test_an_answer_to_a_reader_does_not_reach_the_stream(server: Nats) -> None:
    """Permissions do not cover the reply subject of a request."""
    async with connected(server.reader_url) as (reader, _):
        await reader.jetstream().add_consumer(STREAM, ConsumerConfig(name="loop"))
        await reader.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.loop", b'{"batch":1}', reply=SUBJECT)
        await reader.publish("$JS.API.INFO", b"", reply=SUBJECT)
        await reader.publish(f"$JS.API.DIRECT.GET.{STREAM}", b'{"seq":1}', reply=SUBJECT)
        with pytest.raises(BadRequestError, match="forms a cycle"):
            await reader.jetstream().add_consumer(STREAM, ConsumerConfig(name="push", deliver_subject=SUBJECT))
    async with connected(server.admin_url) as (admin, _):
        assert (await admin.jetstream().stream_info(STREAM)).state.last_seq == 1


async def test_the_relay_only_publishes(server: Nats) -> None:
    async with connected(server.relay_url) as (relay, violations):
        stream = relay.jetstream(timeout=0.3)
        assert (await relay.jetstream().stream_info(STREAM)).state.last_seq == 1
        with pytest.raises(Refused):
            await stream.purge_stream(STREAM)
        with pytest.raises(Refused):
            await stream.add_consumer(STREAM, ConsumerConfig(name="relay"))

        async def reported() -> bool:
            return len(violations) >= 2

        await until(reported)
        assert len(violations) == 2
