"""The relay: every event in the stream once, at its own position, whatever races, stops or is lost."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from contracts.envelope import decode
from contracts.facts import Fact
from contracts.subjects import STREAM, subject
from services.embedded.nats import Nats
from services.embedded.supervisor import Supervisor
from services.projections import app
from services.projections.relay import Diverged, Misconfigured, Relay, Servers, add_stream, connect, migrate_stream
from services.projections.relay.batch import Publisher, header_value
from tests.integration.filled_log import FilledLog, filled_log, until
from tests.tampering import tamper
from tests.unit.careers import awarded, person, published, registered

HISTORY: list[Fact] = [published("cqpm-a"), *(person(number) for number in range(30)), registered(1, 1), awarded(1, 1)]


@pytest_asyncio.fixture
async def log(database_url: str) -> AsyncIterator[FilledLog]:
    async with filled_log(database_url) as filled:
        await filled.put(HISTORY)
        yield filled


@pytest_asyncio.fixture
async def client(nats_server: Nats) -> AsyncIterator[Client]:
    """The connection of a relay, with the relay's few rights; the stream is there."""
    await migrate_stream(Servers(nats_server.admin_url))
    connection = await connect(Servers(nats_server.relay_url))
    yield connection
    await connection.close()


@contextlib.asynccontextmanager
async def relaying(*relays: Relay) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    yield
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results


async def last_sequence(client: Client) -> int:
    try:
        return (await client.jetstream(timeout=1).stream_info(STREAM)).state.last_seq
    except (nats.errors.Error, TimeoutError):
        return -1


async def messages(client: Client) -> list[Any]:
    last = await last_sequence(client)
    stream = client.jetstream()
    return [await stream.get_msg(STREAM, seq=sequence, direct=True) for sequence in range(1, last + 1)]


async def arrived(client: Client, position: int) -> None:
    async def there() -> bool:
        return await last_sequence(client) >= position

    await until(there)


async def check_stream(client: Client, log: FilledLog) -> None:
    """The stream holds the log: same bytes, same order, sequence = position."""
    assert [message.data for message in await messages(client)] == await log.bytes_of_all()


async def test_the_stream_is_the_log(log: FilledLog, client: Client) -> None:
    async with relaying(Relay(client, log.reader, log.news)):
        await arrived(client, len(HISTORY))
        head = await log.put([person(100)])
        await arrived(client, head)
    await check_stream(client, log)
    for sequence, message in enumerate(await messages(client), 1):
        event = decode(message.data)
        assert event.position == sequence
        assert message.subject == subject(event)
        assert message.headers["Content-Type"] == "application/cloudevents+json"
        assert (message.headers["ce-id"], message.headers["ce-type"]) == (event.id, event.type)


async def test_a_relay_goes_on_where_the_stream_ends(log: FilledLog, client: Client) -> None:
    async with relaying(Relay(client, log.reader, log.news)):
        await arrived(client, len(HISTORY))
    head = await log.put([person(100)])
    async with relaying(Relay(client, log.reader, log.news)):
        await arrived(client, head)
    await check_stream(client, log)


async def test_relays_that_race_neither_repeat_nor_reorder(log: FilledLog, client: Client, nats_server: Nats) -> None:
    others = [await connect(Servers(nats_server.relay_url)) for _ in range(2)]
    async with relaying(*(Relay(each, log.reader, log.news, chunk_events_max=3) for each in (client, *others))):
        for number in range(100, 130):
            head = await log.put([person(number), person(number + 100)])
        await arrived(client, head)
    await check_stream(client, log)
    for other in others:
        await other.close()


async def test_a_killed_server_loses_nothing(log: FilledLog, client: Client, supervisor: Supervisor) -> None:
    async with relaying(*(Relay(client, log.reader, log.news, answer_s=1, chunk_events_max=2) for _ in range(2))):
        for number in range(3):
            process_id = supervisor.process_id("nats")
            assert process_id is not None
            head = await log.put([person(100 + 10 * number + other) for other in range(10)])
            os.kill(process_id, signal.SIGKILL)
            await arrived(client, head)
    await check_stream(client, log)


class LosesAnswers(Client):
    """A connection on which the first answers to chunks get lost; what they answer was done."""

    lost = 0

    async def subscribe(self, subject: str, *arguments: Any, cb: Any = None, **options: Any) -> Any:
        async def forgetful(message: Msg) -> None:
            if self.lost < 3:
                self.lost += 1
            else:
                await cb(message)

        heard = forgetful if isinstance(getattr(cb, "__self__", None), Publisher) else cb
        return await super().subscribe(subject, *arguments, cb=heard, **options)


async def test_a_lost_acknowledgement_neither_loses_nor_repeats(
    log: FilledLog, client: Client, nats_server: Nats
) -> None:
    forgetful = LosesAnswers()
    await forgetful.connect(nats_server.relay_url, pending_size=-1)
    async with relaying(Relay(forgetful, log.reader, log.news, answer_s=0.2, chunk_events_max=5)):
        await arrived(client, len(HISTORY))
    assert forgetful.lost == 3
    await check_stream(client, log)
    await forgetful.close()


async def test_a_chunk_larger_than_a_batch_may_be_goes_in_several(log: FilledLog, client: Client) -> None:
    async with relaying(Relay(client, log.reader, log.news, chunk_bytes_max=2_500)):
        await arrived(client, len(HISTORY))
    await check_stream(client, log)


async def _rewritten(log: FilledLog) -> None:
    """Another history of the same length."""
    await tamper(log.pool, "UPDATE log.event SET entry = entry || ' ' WHERE position = $1", len(HISTORY))


async def _shortened(log: FilledLog) -> None:
    await tamper(log.pool, "DELETE FROM log.event WHERE position = $1", len(HISTORY))


@pytest.mark.parametrize("change", [_rewritten, _shortened])
async def test_a_stream_of_another_history_stops_the_relay(log: FilledLog, client: Client, change: Any) -> None:
    relay = Relay(client, log.reader, log.news)
    async with relaying(relay):
        await arrived(client, len(HISTORY))
    await change(log)
    with pytest.raises(Diverged):
        await asyncio.wait_for(relay.run(), 10)
    with pytest.raises(Diverged):
        await relay.lag()
    assert await last_sequence(client) == len(HISTORY)


async def test_a_relay_that_may_makes_the_stream(log: FilledLog, nats_server: Nats) -> None:
    admin = await connect(Servers(nats_server.admin_url))
    async with relaying(Relay(admin, log.reader, log.news)):
        await arrived(admin, len(HISTORY))
    config = (await admin.jetstream().stream_info(STREAM)).config
    assert (config.deny_delete, config.deny_purge, config.allow_direct, config.allow_atomic) == (True,) * 4
    assert (config.discard, config.storage, config.subjects) == ("new", "file", ["certibranche.v1.>"])
    await admin.close()


async def test_a_relay_that_may_not_waits_for_the_stream(log: FilledLog, nats_server: Nats) -> None:
    connection = await connect(Servers(nats_server.relay_url))
    relay = Relay(connection, log.reader, log.news, answer_s=0.5)
    async with relaying(relay):
        assert await last_sequence(connection) == -1
        await migrate_stream(Servers(nats_server.admin_url))
        await arrived(connection, len(HISTORY))
    await connection.close()


async def test_making_the_stream_again_leaves_it_as_it_is(nats_server: Nats) -> None:
    connection = await connect(Servers(nats_server.admin_url))
    ours = StreamConfig(STREAM, subjects=["certibranche.v1.>"], description="ours")
    await add_stream(connection.jetstream(), ours)
    await migrate_stream(Servers(nats_server.admin_url))
    assert (await connection.jetstream().stream_info(STREAM)).config.description == "ours"
    await connection.close()


async def test_a_stream_without_atomic_batches_stops_the_relay(log: FilledLog, nats_server: Nats) -> None:
    connection = await connect(Servers(nats_server.admin_url))
    single = StreamConfig(STREAM, subjects=["certibranche.v1.>"], allow_direct=True, allow_atomic=False)
    await add_stream(connection.jetstream(), single)
    with pytest.raises(Misconfigured):
        await asyncio.wait_for(Relay(connection, log.reader, log.news).run(), 10)
    await connection.close()


async def test_readiness_knows_whether_the_stream_follows_the_log(
    log: FilledLog, client: Client, nats_server: Nats
) -> None:
    async with relaying(Relay(client, log.reader, log.news)):
        await arrived(client, len(HISTORY))
    lag = await Relay(client, log.reader, log.news).lag()
    assert (lag.position, lag.positions) == (len(HISTORY), 0)
    async with app.relay_check(log.url, Servers(nats_server.monitor_url), STREAM) as check:

        async def ready() -> bool:
            with contextlib.suppress(Exception):
                await check()
                return True
            return False

        await until(ready)
        await _rewritten(log)
        with pytest.raises(Diverged):
            await check()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a-1:b/c", "a-1:b/c"), ("100%", "100%25"), ('"a b"', "%22a%20b%22"), ("é", "%C3%A9")],
)
def test_ids_are_percent_encoded_in_headers(text: str, expected: str) -> None:
    assert header_value(text) == expected
