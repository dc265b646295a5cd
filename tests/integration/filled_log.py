"""A log filled with facts, and what reads it, for tests of the read side."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib import resources

import asyncpg

from contracts.envelope import decode
from contracts.facts import Fact
from services.log.listener import LOG_CHANNEL, Listener
from services.log.migrations import migrate
from services.log.reader import LogReader
from services.projections.app import MIGRATIONS, VIEWS
from services.projections.builds import NEXT, OLD, create_build, drop_build
from services.projections.follower import VIEW_CHANNEL, Follower, View
from tests.tampering import tamper
from tests.unit.careers import recorded_at, stored

_EMPTY = """
TRUNCATE log.event, log.tag, projections.parked, competencies.person, competencies.alias, competencies.bloc,
         counts.cell, counts.delta,
         counts.persons, counts.persons_delta, counts.objective, counts.registration, counts.certificate,
         counts.holder, counts.alias, entries.tag;
UPDATE projections.view SET position = 0, events = 0, parked = 0, digest = decode(repeat('00', 32), 'hex')
"""


class FilledLog:
    """A database with the log and the views, and what reads them."""

    def __init__(self, url: str, pool: asyncpg.Pool, news: Listener) -> None:
        self.url = url
        self.pool = pool
        self.reader = LogReader(pool)
        self.news = news

    async def put(self, facts: Sequence[Fact]) -> int:
        """Append the facts, recorded an hour apart; the new head."""
        head = await self.reader.head()
        for position, fact in enumerate(facts, head + 1):
            await self._put(position, fact)
        return head + len(facts)

    async def _put(self, position: int, fact: Fact) -> None:
        name = fact.type_name()
        insert = "INSERT INTO log.type (name) VALUES ($1) ON CONFLICT DO NOTHING"
        await self.pool.execute(insert, name)
        number = await self.pool.fetchval("SELECT id FROM log.type WHERE name = $1", name)
        tags = list(fact.tags())
        put = "SELECT log.put($1, $2, $3::smallint[], $4::bytea[], $5::bytea[], $6::bytea[], $7::text[], $8::int[])"
        entry = stored(fact, position)
        reached = await self.pool.fetchval(
            put, position - 1, recorded_at(position), [number], [None], [None], [entry], tags, [1] * len(tags)
        )
        assert reached == position

    async def start_again(self, view: View) -> None:
        """Have only a view that knows nothing of the history, and nobody who leads."""
        async with self.pool.acquire() as connection, connection.transaction():
            for name in (view.name, view.name + NEXT, view.name + OLD):
                await drop_build(connection, name)
            await create_build(connection, view, view.name)
            await connection.execute("DELETE FROM projections.lease")

    async def bytes_of_all(self) -> list[bytes]:
        return [entry.entry for entry in await self.reader.page(0, limit=100_000)]

    async def position(self, view: str) -> int:
        """How far the view is."""
        position: int = await self.pool.fetchval("SELECT position FROM projections.view WHERE name = $1", view)
        return position

    async def empty(self) -> None:
        """Forget all facts and what was made of them."""
        await tamper(self.pool, _EMPTY)

    def follower(self, view: View, batch_events_max: int = 500) -> Follower:
        return Follower(view, self.pool, self.news, batch_events_max=batch_events_max)

    async def follow_up(self, batch_events_max: int = 500) -> None:
        """Bring every view up to the log."""
        for view in VIEWS:
            follower = self.follower(view, batch_events_max)
            while await follower.step():
                pass

    async def contents(self) -> dict[str, list[str]]:
        """Every row of the views' tables, as text, sorted."""
        tables = await self.pool.fetch(
            "SELECT schemaname || '.' || tablename AS name FROM pg_tables"
            " WHERE schemaname IN ('competencies', 'counts', 'entries', 'projections') ORDER BY 1"
        )
        return {
            table["name"]: [
                row[0] for row in await self.pool.fetch(f"SELECT t::text FROM {table['name']} t ORDER BY 1")
            ]
            for table in tables
        }


@contextlib.asynccontextmanager
async def filled_log(database_url: str) -> AsyncIterator[FilledLog]:
    """The database with all tables of log and views."""
    connection = await asyncpg.connect(database_url)
    await migrate(connection, "log", resources.files("services.log") / "sql" / "migrations")
    await migrate(connection, "projections", MIGRATIONS)
    await connection.close()
    pool = await asyncpg.create_pool(database_url, min_size=0, max_size=10)
    async with Listener(lambda: asyncpg.connect(database_url), LOG_CHANNEL, VIEW_CHANNEL) as news:
        yield FilledLog(database_url, pool, news)
    pool.terminate()


async def drain(follower: Follower) -> None:
    """Apply all that the log has."""
    while await follower.step():
        pass
    await follower.close()


async def until(condition: Callable[[], Awaitable[bool]], limit_s: float = 30.0) -> None:
    """Wait for a condition; TimeoutError when it has not come true in time."""
    give_up_at = time.monotonic() + limit_s
    while not await condition():
        if time.monotonic() > give_up_at:
            raise TimeoutError("the condition has not come true")
        await asyncio.sleep(0.01)


def check_bytes(entries: Sequence[bytes]) -> None:
    """The entries are events 1, 2, 3 …"""
    assert [decode(entry).position for entry in entries] == list(range(1, len(entries) + 1))
