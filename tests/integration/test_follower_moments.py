"""`as_of` a time: whoever asks for the same time gets the same answer, however close to the end of the log it is."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio

from contracts.problems import Unavailable
from services.log.reader import RECORDED_WITHIN, LogReader
from services.projections.moments import CLOCKS_AGREE, Moments
from services.projections.positions import LOG, Positions
from tests.integration.filled_log import FilledLog, filled_log, until
from tests.unit.careers import person, published, recorded_at

PUT = """
INSERT INTO log.event (position, type, recorded_at, entry)
SELECT $1, type, $2, entry FROM log.event WHERE position = 1
"""


@pytest_asyncio.fixture
async def log(database_url: str) -> AsyncIterator[FilledLog]:
    async with filled_log(database_url) as filled:
        await filled.put([published("cqpm-a"), person(1)])
        yield filled


def moments(log: FilledLog, now: datetime) -> Moments:
    return Moments(log.reader, Positions(log.pool, log.reader, log.news), lambda: now)


async def test_a_time_waits_for_the_group_that_may_have_been_recorded_by_then(log: FilledLog) -> None:
    """A writer holds the log's lock, has taken the time, and has not committed yet."""
    now = recorded_at(3) + timedelta(minutes=1)
    async with log.pool.acquire() as writer:
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("SELECT pg_advisory_xact_lock(7420, 1)")
        await writer.execute(PUT, 3, recorded_at(3))
        asked = asyncio.create_task(moments(log, now).moment(LOG, recorded_at(3).isoformat()))

        async def waits() -> bool:
            return bool(await log.pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await until(waits)
        await transaction.commit()
    assert (await asked).position == 3
    assert (await moments(log, now).moment(LOG, recorded_at(3).isoformat())).position == 3


async def test_a_time_behind_which_the_log_has_moved_on_waits_for_nobody(log: FilledLog) -> None:
    async with log.pool.acquire() as writer, writer.transaction():
        await writer.execute("SELECT pg_advisory_xact_lock(7420, 1)")
        asked = moments(log, recorded_at(9)).moment(LOG, (recorded_at(2) - timedelta(microseconds=1)).isoformat())
        assert (await asyncio.wait_for(asked, 2)).position == 1


async def test_a_time_just_gone_waits_until_every_writers_clock_is_past_it(log: FilledLog) -> None:
    now = datetime.now(UTC)
    started = time.monotonic()
    moment = await moments(log, now).moment(LOG, now.isoformat())
    assert moment.position == 2
    assert time.monotonic() - started >= (CLOCKS_AGREE + RECORDED_WITHIN).total_seconds() - 0.01


async def test_an_event_recorded_between_two_looks_at_the_log_is_not_missed(log: FilledLog) -> None:
    class Overtaken(LogReader):
        async def position_at(self, moment: datetime) -> int:
            position = await super().position_at(moment)
            if await self.head() == 2:
                await log.pool.execute(PUT, 3, recorded_at(3))
            return position

    now = recorded_at(3) + timedelta(minutes=1)
    found = Moments(Overtaken(log.pool), Positions(log.pool, log.reader, log.news), lambda: now)
    assert (await found.moment(LOG, recorded_at(3).isoformat())).position == 3


async def test_times_asked_while_writers_write_never_change(log: FilledLog, database_url: str) -> None:
    """A writer takes its time under the lock, and commits later; readers ask for now all the while."""
    done = asyncio.Event()

    async def write() -> None:
        connection = await asyncpg.connect(database_url)
        for position in range(3, 60):
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(7420, 1)")
                recorded = datetime.now(UTC)
                await connection.execute("SELECT pg_sleep(0.01)")
                await connection.execute(PUT, position, recorded)
        await connection.close()
        done.set()

    writing = asyncio.create_task(write())
    answers: list[tuple[datetime, int]] = []

    async def ask() -> None:
        while not done.is_set():
            now = datetime.now(UTC)
            answers.append((now, (await moments(log, now).moment(LOG, now.isoformat())).position))

    await asyncio.gather(writing, *(ask() for _ in range(4)))
    for now, position in answers:
        assert await log.reader.position_at(now) == position


async def test_a_log_that_stays_locked_is_unavailable(log: FilledLog) -> None:
    positions = Positions(log.pool, log.reader, log.news)
    async with log.pool.acquire() as writer, writer.transaction():
        await writer.execute("SELECT pg_advisory_xact_lock(7420, 1)")
        with pytest.raises(Unavailable):
            await positions.quiet(wait_s=0.05)
