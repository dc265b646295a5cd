"""Followers stopped at every statement: whoever goes on ends with the rows of a fold in memory of the whole log."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import structlog.testing

from contracts.facts import Fact
from services.embedded.postgres import Postgres
from services.projections.app import VIEWS
from services.projections.builds import Asked, View
from services.projections.events import Placed
from services.projections.follower import Follower
from services.projections.leases import Lease
from services.projections.rebuilding import Rebuild
from services.projections.unparking import unpark
from services.projections.unreachable import UNREACHABLE
from services.projections.views.competencies.tables import CompetenciesView
from services.projections.views.counts.tables import CountsView
from services.projections.writes import Folded
from tests.fault.folded import check_folded
from tests.fault.stops import StoppingPool
from tests.integration.filled_log import FilledLog, drain, filled_log
from tests.unit.careers import (
    awarded,
    closed,
    invalidated,
    merged,
    person,
    published,
    registered,
    reopened,
    revoked,
    uid,
    validated,
)

HISTORY: list[Fact] = [
    published("cqpm-a"),
    *(person(number) for number in range(6)),
    *(registered(number, number) for number in range(6)),
    validated(0, 0, 0),
    awarded(0, 0),
    awarded(1, 1),
    merged(0, 1),
    closed(2, 2, "CANCELLED"),
    invalidated(validated(0, 0, 0), 0),
    reopened(2, 2),
    awarded(2, 2),
    merged(3, 0),
    revoked(awarded(1, 1), 3),
    merged(3, 2),
]
PARKED_PERSON = 2

pytestmark = pytest.mark.timeout(600)  # hundreds of kills

Work = Callable[[asyncpg.Pool], Awaitable[object]]


@pytest_asyncio.fixture(scope="module")
async def module_log(postgres: Postgres) -> AsyncIterator[FilledLog]:
    await postgres.create_database("fault_followers")
    async with filled_log(postgres.url("fault_followers")) as log:
        await log.put(HISTORY)
        yield log


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Hundreds of tracebacks help nobody."""
    with structlog.testing.capture_logs():
        yield


@pytest_asyncio.fixture
async def log(module_log: FilledLog) -> FilledLog:
    return module_log


async def check(log: FilledLog, view: View) -> None:
    await check_folded(log.pool, view, len(HISTORY))


async def stopped_at_every_statement(log: FilledLog, view: View, prepare: Work, work: Work, go_on: Work) -> int:
    """Stop the work before and after each of its statements, then go on; how many statements it has."""
    statements = 0
    for after in (False, True):
        for stop_at in range(1, 200):
            await log.start_again(view)
            await prepare(log.pool)
            pool = StoppingPool(log.pool, stop_at, after=after)
            try:
                await work(pool.as_pool())
            except UNREACHABLE:
                assert pool.stopped
            await log.pool.execute("UPDATE projections.lease SET expires_at = '-infinity'")
            await go_on(log.pool)
            await check(log, view)
            if not pool.stopped:
                break
            statements = max(statements, pool.count)
        else:
            pytest.fail("the work does not end")
    return statements


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_a_follower_stopped_at_any_statement(log: FilledLog, view: View) -> None:
    async def follow(pool: asyncpg.Pool) -> None:
        lease = Lease(pool, view.name)
        await lease.take()
        await drain(Follower(view, pool, log.news, lease=lease, batch_events_max=9))

    assert await stopped_at_every_statement(log, view, _nothing, follow, follow) >= 9


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_a_rebuild_stopped_at_any_statement(log: FilledLog, view: View) -> None:
    """The live tables are whole at every moment: the ones before or the ones after."""

    async def follow(pool: asyncpg.Pool) -> None:
        await drain(Follower(view, pool, log.news))

    async def rebuild(pool: asyncpg.Pool) -> None:
        await Rebuild(view, pool, log.news).run()

    async def go_on(pool: asyncpg.Pool) -> None:
        await check(log, view)
        await rebuild(pool)

    assert await stopped_at_every_statement(log, view, follow, rebuild, go_on) >= 15


async def test_a_way_back_stopped_at_any_statement(log: FilledLog) -> None:
    view = CountsView()

    async def rebuild(pool: asyncpg.Pool) -> None:
        await drain(Follower(view, pool, log.news, batch_events_max=9))
        await Rebuild(view, pool, log.news).run()

    async def roll_back(pool: asyncpg.Pool) -> None:
        await Rebuild(view, pool, log.news).roll_back()

    await stopped_at_every_statement(log, view, rebuild, roll_back, roll_back)


class FailingCompetencies(CompetenciesView):
    """Does not take the registration of one person."""

    async def fold(self, asked: Asked, schema: str, events: Sequence[Placed], before: Any = None) -> Folded:
        _fail(events)
        return await super().fold(asked, schema, events, before)


class FailingCounts(CountsView):
    """Does not take the registration of one person."""

    async def fold(self, asked: Asked, schema: str, events: Sequence[Placed], before: Any = None) -> Folded:
        _fail(events)
        return await super().fold(asked, schema, events, before)


def _fail(events: Sequence[Placed]) -> None:
    for event in events:
        if getattr(event.data, "registration_id", None) == uid("registration", PARKED_PERSON):
            raise ValueError("not this one")


@pytest.mark.parametrize("view", [FailingCompetencies(), FailingCounts()], ids=lambda view: view.name)
async def test_parking_stopped_at_any_statement(log: FilledLog, view: View) -> None:
    whole: View = CompetenciesView() if view.name == "competencies" else CountsView()

    async def follow(pool: asyncpg.Pool) -> None:
        await drain(Follower(view, pool, log.news, batch_events_max=12))

    async def repair(pool: asyncpg.Pool) -> None:
        await follow(pool)
        assert not (await unpark(whole, pool)).failures

    await stopped_at_every_statement(log, whole, _nothing, follow, repair)


@pytest.mark.parametrize("view", [FailingCompetencies(), FailingCounts()], ids=lambda view: view.name)
async def test_unparking_stopped_at_any_statement(log: FilledLog, view: View) -> None:
    whole: View = CompetenciesView() if view.name == "competencies" else CountsView()

    async def follow(pool: asyncpg.Pool) -> None:
        await drain(Follower(view, pool, log.news))

    async def repair(pool: asyncpg.Pool) -> None:
        assert not (await unpark(whole, pool)).failures

    await stopped_at_every_statement(log, whole, follow, repair, repair)


async def _nothing(_: asyncpg.Pool) -> None:
    """Nobody does anything beside it."""
