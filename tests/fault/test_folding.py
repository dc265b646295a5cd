"""Batches folded ahead: whenever the one before is written, and whoever writes it, the rows are those of a fold in
memory of the whole log."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from contracts.facts import Fact
from services.embedded.postgres import Postgres
from services.projections.app import VIEWS
from services.projections.builds import Asked, View, read_build
from services.projections.events import Placed
from services.projections.follower import Follower
from services.projections.unparking import unpark
from services.projections.views.competencies import tables
from services.projections.views.competencies.tables import CompetenciesView
from services.projections.views.counts.tables import CountsView
from services.projections.views.entries.tables import EntriesView
from services.projections.writes import Folded
from tests.fault.folded import check_folded, read_log
from tests.integration.filled_log import FilledLog, drain, filled_log, until
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
    validated,
)

PERSONS = 9
HISTORY: list[Fact] = [
    published("cqpm-a"),
    *(person(number) for number in range(PERSONS)),
    *(registered(number, number) for number in range(PERSONS)),
    validated(0, 0, 0),
    awarded(0, 0),
    awarded(1, 1),
    merged(0, 1),
    awarded(2, 2),
    closed(3, 3, "CANCELLED"),
    merged(3, 0),
    awarded(5, 5),
    invalidated(validated(0, 0, 0), 3),
    revoked(awarded(1, 1), 1),
    reopened(3, 3),
    merged(2, 3),
    awarded(3, 3),
    merged(4, 2),
    revoked(awarded(0, 0), 0),
]
"""Every fact here follows from those just before it, by ids that stand for another since."""


class Watched:
    """A view that says how many batches it has folded. late: it folds one only when those before are written."""

    late: tuple[FilledLog, int] | None = None
    folds = 0

    async def fold(self, asked: Asked, schema: str, events: Sequence[Placed], before: Any = None) -> Folded:
        if self.late is not None:
            log, size = self.late
            begin = min(self.folds * size, len(HISTORY))
            await until(lambda: reached(log, self.name, begin))  # type: ignore[attr-defined]
        folded: Folded = await super().fold(asked, schema, events, before)  # type: ignore[misc]
        self.folds += 1
        return folded

    async def has_folded(self, folds: int) -> bool:
        return self.folds >= folds


class WatchedCompetencies(Watched, CompetenciesView):
    pass


class WatchedCounts(Watched, CountsView):
    pass


class WatchedEntries(Watched, EntriesView):
    pass


WATCHED = (WatchedCompetencies, WatchedCounts, WatchedEntries)


@pytest_asyncio.fixture(scope="module")
async def module_log(postgres: Postgres) -> AsyncIterator[FilledLog]:
    await postgres.create_database("fault_folding")
    async with filled_log(postgres.url("fault_folding")) as log:
        await log.put(HISTORY)
        yield log


@pytest_asyncio.fixture
async def log(module_log: FilledLog) -> FilledLog:
    """Its views know nothing of the history."""
    for view in VIEWS:
        await module_log.start_again(view)
    return module_log


async def reached(log: FilledLog, name: str, position: int) -> bool:
    return await log.position(name) >= position


async def check(log: FilledLog, view: View) -> None:
    await check_folded(log.pool, view, len(HISTORY))


async def early(log: FilledLog, view: Any, size: int) -> None:
    """Follow; each batch is written once the next one is folded: then the tables are as old as they can be."""
    follower = Follower(view, log.pool, log.news, batch_events_max=size)
    for batch in range(len(HISTORY) // size):
        async with log.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT FROM projections.view WHERE name = $1 FOR UPDATE", view.name)
            writing = asyncio.create_task(follower.step())
            await until(partial(view.has_folded, batch + 2))
            assert await log.position(view.name) == batch * size
        await writing
    await drain(follower)


@pytest.mark.parametrize("size", range(1, 8))
@pytest.mark.parametrize("view", WATCHED, ids=lambda view: view.name)
async def test_a_batch_is_folded_before_the_one_before_is_written(log: FilledLog, view: Any, size: int) -> None:
    await early(log, made := view(), size)
    await check(log, made)


@pytest.mark.parametrize("size", range(1, 8))
@pytest.mark.parametrize("view", WATCHED, ids=lambda view: view.name)
async def test_a_batch_is_folded_after_the_one_before_was_written(log: FilledLog, view: Any, size: int) -> None:
    made = view()
    made.late = log, size
    await drain(Follower(made, log.pool, log.news, batch_events_max=size))
    await check(log, made)


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_persons_that_were_forgotten_are_read_again(
    log: FilledLog, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "KEPT_PERSONS_MAX", 0)
    await early(log, view := WatchedCompetencies(), size)
    await check(log, view)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_two_runners_take_batches_from_each_other(log: FilledLog, view: View) -> None:
    """What one has folded ahead is of no use once the other has written."""
    one, other = (Follower(view, log.pool, log.news, batch_events_max=size) for size in (3, 2))
    for _ in range(len(HISTORY)):
        await one.step()
        await other.step()
    await drain(one)
    await drain(other)
    await check(log, view)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_two_runners_take_the_rest_from_each_other(log: FilledLog, view: View, seed: int) -> None:
    """What one has kept in memory is of no use once the other has written."""
    runners, chance = [Follower(view, log.pool, log.news) for _ in range(2)], random.Random(seed)
    while (position := await log.position(view.name)) < len(HISTORY):
        await chance.choice(runners).step(until=min(position + chance.randint(1, 3), len(HISTORY)))
    for runner in runners:
        await drain(runner)
    await check(log, view)


async def test_what_was_folded_on_a_batch_that_was_not_written_whole_is_not_used(log: FilledLog) -> None:
    """An event cannot be written: it is parked, and the next batch is not what was made of both."""
    view = CompetenciesView()
    await log.pool.execute("INSERT INTO competencies.bloc VALUES ('cqpm-a', 1, 'a1', '{}')")
    follower = Follower(view, log.pool, log.news, batch_events_max=2)
    await drain(follower)
    build = await read_build(log.pool, view.name)
    assert build is not None
    assert (build.position, build.parked) == (len(HISTORY), 1)
    await log.pool.execute("DELETE FROM competencies.bloc")
    assert await unpark(view, log.pool) == (1, [])
    await check(log, view)


async def test_who_is_kept_is_not_read_again(log: FilledLog, monkeypatch: pytest.MonkeyPatch) -> None:
    view, events = CompetenciesView(), await read_log(log.pool, CompetenciesView())
    whole = await view.fold(log.pool, "competencies", events[:20])
    none: Any = None
    assert (await view.fold(none, "competencies", events[20:], whole.state)).writes
    whole = await view.fold(log.pool, "competencies", events[:20])
    monkeypatch.setattr(tables, "KEPT_PERSONS_MAX", 1)
    less = await view.fold(log.pool, "competencies", (), whole.state)
    with pytest.raises(AttributeError, match="fetch"):
        await view.fold(none, "competencies", events[20:], less.state)
