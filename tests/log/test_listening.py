"""Who waits for news hears of every commit; where nobody waits nobody is woken."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest_asyncio

from services.log.listener import LOG_CHANNEL, Listener
from tests.integration.filled_log import until
from tests.log.conftest import MakeWriter, objective

LONG_S = 300.0
"""Far longer than a test may take: who is not woken fails."""

LINGER_S = 0.05


class Observed(asyncpg.Connection):
    """Notes which channels it listens to."""

    listened: set[str]

    async def add_listener(self, channel: str, callback: Any) -> None:
        await super().add_listener(channel, callback)
        self.listened |= {channel}

    async def remove_listener(self, channel: str, callback: Any) -> None:
        await super().remove_listener(channel, callback)
        self.listened -= {channel}


class Listening:
    """A listener on the log, and its connections."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.connections: list[Observed] = []
        self.listener = Listener(self._connect, LOG_CHANNEL, linger_s=LINGER_S)

    async def _connect(self) -> asyncpg.Connection:
        self.connections.append(await asyncpg.connect(self._url, connection_class=Observed))
        self.connections[-1].listened = set()
        return self.connections[-1]

    @property
    def listened(self) -> set[str]:
        """What the server tells this listener."""
        return self.connections[-1].listened

    async def silent(self) -> bool:
        return not self.listened


@pytest_asyncio.fixture
async def listening(log_url: str) -> AsyncIterator[Listening]:
    found = Listening(log_url)
    async with found.listener:
        await until(lambda: _is(bool(found.connections)))
        yield found


async def _is(condition: bool) -> bool:
    return condition


async def wait(listener: Listener, news: asyncio.Event) -> None:
    """Wait for the news themselves: no poll helps."""
    async with asyncio.timeout(30):
        await listener.wait(news, LONG_S)
    assert news.is_set()


async def test_who_waits_is_woken_by_a_commit(listening: Listening, make_writer: MakeWriter) -> None:
    writer, listener = await make_writer(), listening.listener
    await wait(listener, listener.news)  # by the beginning
    for _ in range(3):
        waiting = asyncio.create_task(wait(listener, listener.news))
        await asyncio.sleep(0)
        await writer.append_one(objective())
        await waiting


async def test_what_is_committed_between_looking_and_waiting_is_news(
    listening: Listening, make_writer: MakeWriter
) -> None:
    writer, listener = await make_writer(), listening.listener
    for _ in range(3):
        await until(listening.silent)
        news = listener.news  # taken, looked, nothing there
        await writer.append_one(objective())
        assert not news.is_set()
        await wait(listener, news)


async def test_nothing_is_listened_to_before_and_after_somebody_waits(listening: Listening) -> None:
    listener = listening.listener
    assert await listening.silent()
    listener.news  # noqa: B018 - to have looked is not to wait
    assert await listening.silent()
    await wait(listener, listener.news)
    waiting = asyncio.create_task(listener.wait(listener.news, LONG_S))
    await asyncio.wait([waiting], timeout=4 * LINGER_S)
    assert listening.listened == {LOG_CHANNEL}
    waiting.cancel()
    await until(listening.silent)


async def test_who_waits_is_woken_after_the_connection_was_lost(
    listening: Listening, make_writer: MakeWriter, pool: asyncpg.Pool
) -> None:
    writer, listener = await make_writer(), listening.listener
    await wait(listener, listener.news)
    lost = listening.connections[-1].get_server_pid()
    waiting = asyncio.create_task(wait(listener, listener.news))
    await asyncio.sleep(0)
    await pool.execute("SELECT pg_terminate_backend($1)", lost)
    await waiting  # by the next connection, of what was before
    assert len(listening.connections) == 2
    waiting = asyncio.create_task(wait(listener, listener.news))
    await asyncio.sleep(0)
    await writer.append_one(objective())
    await waiting


async def test_who_begins_to_wait_on_a_lost_connection_is_woken(listening: Listening, pool: asyncpg.Pool) -> None:
    listener = listening.listener
    await pool.execute("SELECT pg_terminate_backend($1)", listening.connections[-1].get_server_pid())
    await until(lambda: _is(listening.connections[-1].is_closed()))
    await wait(listener, listener.news)
    assert len(listening.connections) == 2
