"""The loop of the read side: nothing twice, nothing left out, whatever stops, races or breaks."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from contracts.facts import FACTS, Fact
from services.embedded.supervisor import Supervisor
from services.projections.builds import Asked
from services.projections.events import Event, Placed
from services.projections.follower import NotTheLog
from services.projections.parking import keys_of
from services.projections.views.competencies.tables import CompetenciesView
from services.projections.views.counts.tables import CountsView
from services.projections.views.entries.tables import EntriesView
from services.projections.writes import Folded, Write
from tests.integration.filled_log import FilledLog, drain, filled_log, until
from tests.tampering import tamper
from tests.unit.careers import awarded, closed, merged, person, published, registered, revoked

HISTORY: list[Fact] = [
    published("cqpm-a"),
    *(person(number) for number in range(8)),
    *(registered(number, number) for number in range(8)),
    *(awarded(number, number) for number in range(4)),
    merged(0, 1),
    revoked(awarded(0, 0), 0),
    *(closed(number, number, "CANCELLED") for number in range(4, 8)),
]


INSERT = "INSERT INTO recorded SELECT * FROM unnest($1::bigint[]) WHERE {due}"
STOPS = {"with the rows": "pg_cancel_backend", "connection lost": "pg_terminate_backend"}


class StoppedError(OSError):
    """A process that ends here and now."""


class Recorder:
    """A view that is what it was told: one row for each event."""

    name = "recorder"
    version = layout = 1
    ddl = "CREATE TABLE recorded (position bigint PRIMARY KEY)"
    merges = False
    facts: Sequence[type[Fact]] = tuple(FACTS.values())

    def __init__(self, stop: str = "") -> None:
        self.stop = stop
        self.begun = 0

    def keys(self, event: Event) -> Sequence[str]:
        return keys_of(event)

    async def fold(self, asked: Asked, schema: str, events: Sequence[Placed], before: Any = None) -> Folded:
        self.begun += 1
        if self.stop == "before rows":
            raise StoppedError
        if self.stop == "cancelled":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.Event().wait()
        rows = [Write(INSERT, [[event.position for event in events]])]
        if self.stop in STOPS:
            rows.append(Write(f"{INSERT} AND {STOPS[self.stop]}(pg_backend_pid())", [[10**6]]))
        return Folded(rows)


@pytest_asyncio.fixture
async def log(database_url: str) -> AsyncIterator[FilledLog]:
    async with filled_log(database_url) as filled:
        await filled.pool.execute(
            f"{Recorder.ddl}; INSERT INTO projections.view (name, schema) VALUES ('recorder', 'public')"
        )
        await filled.put(HISTORY)
        yield filled


async def recorded(log: FilledLog) -> list[int]:
    return [row[0] for row in await log.pool.fetch("SELECT position FROM recorded ORDER BY position")]


async def test_a_view_is_told_every_event_once_in_order(log: FilledLog) -> None:
    await drain(log.follower(Recorder(), batch_events_max=3))
    assert await recorded(log) == list(range(1, len(HISTORY) + 1))
    assert await log.position("recorder") == len(HISTORY)


@pytest.mark.parametrize("stop", ["before rows", "cancelled", *STOPS])
async def test_what_stops_before_the_commit_has_done_nothing(log: FilledLog, stop: str) -> None:
    await log.follower(Recorder(), batch_events_max=5).step()
    stopping = asyncio.create_task(log.follower(Recorder(stop), batch_events_max=5).step())
    await asyncio.wait([stopping])
    assert stopping.cancelled() or stopping.exception() is not None
    assert await recorded(log) == [1, 2, 3, 4, 5]
    assert await log.position("recorder") == 5
    await drain(log.follower(Recorder(), batch_events_max=5))
    assert await recorded(log) == list(range(1, len(HISTORY) + 1))


async def test_what_stops_after_the_commit_goes_on_behind_it(log: FilledLog) -> None:
    """The runner never learns that its commit succeeded; the next one reads the position anew."""
    await log.follower(Recorder(), batch_events_max=7).step()
    await drain(log.follower(Recorder(), batch_events_max=4))
    assert await recorded(log) == list(range(1, len(HISTORY) + 1))


async def test_two_runners_at_once_neither_repeat_nor_leave_out(log: FilledLog) -> None:
    runners = [log.follower(Recorder(), batch_events_max=size) for size in (1, 2, 3, 5)]
    await asyncio.gather(*(drain(runner) for runner in runners))
    assert await recorded(log) == list(range(1, len(HISTORY) + 1))


async def test_two_runners_of_the_real_views_give_what_one_gives(log: FilledLog) -> None:
    await log.follow_up()
    expected = await log.contents()
    facts = await log.pool.fetchval("SELECT count(*) FROM log.event")
    for view in ("competencies", "counts", "entries"):
        tables = await log.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", view)
        for table in tables:
            await log.pool.execute(f"TRUNCATE {view}.{table['tablename']}")
    await log.pool.execute(
        "UPDATE projections.view SET position = 0, events = 0, digest = decode(repeat('00', 32), 'hex')"
    )
    runners = [log.follower(view(), size) for view in (CompetenciesView, CountsView, EntriesView) for size in (1, 2, 3)]
    await asyncio.gather(*(drain(runner) for runner in runners))
    assert await log.contents() == expected
    assert facts == len(HISTORY)


async def test_the_second_runner_waits_for_the_first_and_then_gives_way(log: FilledLog) -> None:
    """It holds the position that the first one is moving away from."""
    async with log.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("UPDATE projections.view SET position = 3 WHERE name = 'recorder'")
        second = asyncio.create_task(log.follower(Recorder(), batch_events_max=5).step())
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"

        async def blocked() -> bool:
            return bool(await log.pool.fetchval(waiting))

        await until(blocked)
        await transaction.commit()
    assert await second
    assert await recorded(log) == []
    await drain(log.follower(Recorder()))
    assert await recorded(log) == list(range(4, len(HISTORY) + 1))


@pytest.mark.parametrize("missing", [1, 6, 10, len(HISTORY)])
async def test_a_gap_in_the_log_is_refused_loudly(log: FilledLog, missing: int) -> None:
    await log.put([person(100)])
    await tamper(log.pool, "DELETE FROM log.event WHERE position = $1", missing)
    with pytest.raises(NotTheLog, match=f"no event {missing}"):
        await drain(log.follower(Recorder(), batch_events_max=5))
    assert await recorded(log) == list(range(1, (missing - 1) // 5 * 5 + 1))


async def test_a_log_that_ends_before_the_view_is_refused_loudly(log: FilledLog) -> None:
    await drain(log.follower(Recorder()))
    await tamper(log.pool, "DELETE FROM log.event WHERE position = $1", len(HISTORY))
    with pytest.raises(NotTheLog, match="the log ends at"):
        await log.follower(Recorder()).step()


async def test_news_wake_a_follower_at_once(log: FilledLog) -> None:
    running = asyncio.create_task(log.follower(Recorder()).run())
    head = len(HISTORY)
    for number in range(100, 105):
        await until(lambda head=head: _reached(log, head), limit_s=5)  # type: ignore[misc]
        head = await log.put([person(number)])
    await until(lambda: _reached(log, head))
    await _cancelled(running)


async def test_a_bug_in_a_fold_is_tried_again_until_it_is_fixed(log: FilledLog) -> None:
    view = Recorder("before rows")
    running = asyncio.create_task(log.follower(view).run())

    async def tried_twice() -> bool:
        return view.begun >= 2

    await until(tried_twice)
    assert await log.position("recorder") == 0
    view.stop = ""
    await until(lambda: _reached(log, len(HISTORY)))
    await _cancelled(running)


async def test_a_restart_of_the_database_is_outlived(log: FilledLog, supervisor: Supervisor) -> None:
    running = asyncio.create_task(log.follower(Recorder()).run())
    await until(lambda: _reached(log, len(HISTORY)))
    process_id = supervisor.process_id("postgres")
    assert process_id is not None
    os.kill(process_id, signal.SIGINT)  # fast shutdown: every connection is cut

    async def restarted() -> bool:
        return supervisor.process_id("postgres") not in (None, process_id)

    await until(restarted)
    await until(lambda: _put_again(log))
    await until(lambda: _reached(log, len(HISTORY) + 1))
    assert await recorded(log) == list(range(1, len(HISTORY) + 2))
    await _cancelled(running)


async def _put_again(log: FilledLog) -> bool:
    try:
        await log.put([person(100)])
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


async def _reached(log: FilledLog, position: int) -> bool:
    return await log.position("recorder") >= position


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
