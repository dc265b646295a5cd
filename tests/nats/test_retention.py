"""A bounded stream, and one that begins late: what it no longer holds is read elsewhere."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from nats.aio.client import Client

from contracts.subjects import STREAM
from contracts.subscriber.sqlite_store import SqliteStore
from contracts.subscriber.subscriber import Event
from services.embedded.nats import Nats
from services.projections.relay import Relay, Retention, Servers, migrate_stream
from services.projections.relay.stream import stream_config
from services.subscribers.durable import make_durable
from tests.integration.filled_log import FilledLog, until
from tests.nats.relays import arrived, make_anew, persons, relaying, stream_info
from tests.nats.test_subscriber import DURABLE, followed, subscriber, subscribing


def pages(log: FilledLog, asked: list[int]) -> Callable[[int], list[Event]]:
    """The log as a source of older events, in small pages; `asked` notes behind which positions it was asked."""
    loop = asyncio.get_running_loop()

    def older(after: int) -> list[Event]:
        asked.append(after)
        page = asyncio.run_coroutine_threadsafe(log.reader.page(after, limit=5), loop).result()
        return [Event(entry.position, entry.entry) for entry in page]

    return older


@pytest.mark.parametrize("first", [6, 13])
async def test_what_the_stream_no_longer_holds_is_read_elsewhere(
    log: FilledLog, admin: Client, nats_server: Nats, tmp_path: Path, first: int
) -> None:
    """Also where it holds nothing at all (13): an empty stream does not say what it has held."""
    await make_anew(admin, stream_config().evolve(first_seq=first))
    await make_durable(Servers(nats_server.admin_url), STREAM, DURABLE, [])
    store, asked = SqliteStore(tmp_path / "store"), list[int]()
    async with (
        relaying(Relay(admin, log.reader, log.news)),
        subscribing(subscriber(admin, STREAM, DURABLE, store, older=pages(log, asked))),
    ):
        await followed(store, log)
        assert asked[0] == 0
        await log.put(persons(100, 5))
        await followed(store, log)


async def test_a_bounded_stream_loses_nothing_for_a_slow_subscriber(
    log: FilledLog, admin: Client, nats_server: Nats, tmp_path: Path
) -> None:
    """Events expire while nobody reads; then the subscriber comes back, reads them elsewhere and goes on."""
    servers = Servers(nats_server.admin_url)
    await migrate_stream(servers, retention=Retention(max_age_s=0.5))
    await make_durable(servers, STREAM, DURABLE, [])
    store = SqliteStore(tmp_path / "store")

    async def expired() -> bool:
        info = await stream_info(admin)
        return info is not None and info.state.messages == 0

    async with relaying(Relay(admin, log.reader, log.news)):
        await arrived(admin, 12)
        for round_ in range(2):
            await until(expired)
            async with subscribing(subscriber(admin, STREAM, DURABLE, store, older=pages(log, []))):
                await followed(store, log)
                await log.put(persons(100 + 10 * round_, 5))
                await followed(store, log)
            await log.put(persons(200 + 10 * round_, 5))
