"""The views over a real database: any batches give what the contract says in words, now and as of any position."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from hypothesis import given as for_any
from hypothesis import strategies as st

from contracts.facts import Fact, ObjectiveSet, PersonRegistered
from contracts.problems import Erased, Malformed, NotFound, Unavailable
from services.embedded.postgres import Postgres
from services.log.listener import POLL_S
from services.projections.app import CaughtUp
from services.projections.moments import Moments
from services.projections.positions import Positions
from services.projections.views.competencies.reading import CompetenciesReader
from services.projections.views.counts.reading import CountsReader
from services.projections.views.counts.tables import CountsView
from tests.integration.filled_log import FilledLog, filled_log
from tests.unit.careers import (
    BRANCHES,
    START,
    YEARS,
    awarded,
    closed,
    erased,
    histories,
    merged,
    person,
    published,
    recorded_at,
    registered,
    reopened,
    revoked,
    uid,
    validated,
)
from tests.unit.naive import naive_competencies, naive_counts

NOW = START + timedelta(days=3_000, minutes=1)


class Views:
    """A log and what is read out of its views."""

    def __init__(self, log: FilledLog) -> None:
        self.log = log
        self.positions = Positions(log.pool, log.reader, log.news)
        moments = Moments(log.reader, self.positions, lambda: NOW)
        self.competencies = CompetenciesReader(log.pool, self.positions, moments)
        self.counts = CountsReader(log.pool, self.positions, moments)

    async def happened(self, *facts: Fact) -> int:
        """Let facts happen and the views follow; the position of the last one."""
        position = await self.log.put(facts)
        await self.log.follow_up()
        return position

    async def held(self, of: int = 1, at: date | None = None, as_of: object = None) -> Any:
        answer, _ = await self.competencies.answer(
            uid("person", of), at=at, as_of=None if as_of is None else str(as_of), min_position=None
        )
        return msgspec.json.decode(msgspec.json.encode(answer))

    async def year(self, year: int = 2018, branch: str | None = None, as_of: object = None) -> Any:
        asked = None if as_of is None else str(as_of)
        position, _, [counts] = await self.counts.answer(
            year, year, branch=branch, as_of=asked, min_position=None, everything=True
        )
        assert counts.position == position
        return msgspec.to_builtins(counts)


@pytest_asyncio.fixture(scope="session")
async def session_views(postgres: Postgres) -> AsyncIterator[Views]:
    await postgres.create_database("views")
    async with filled_log(postgres.url("views")) as log:
        yield Views(log)


@pytest_asyncio.fixture
async def views(session_views: Views) -> Views:
    """A log with a certification in two versions and three persons."""
    await session_views.log.empty()
    await session_views.happened(published("cqpm-a"), published("cqpm-a", 2), *(person(number) for number in (1, 2, 3)))
    return session_views


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_any(facts=histories, batch=st.sampled_from((1, 2, 3, 7, 50)), data=st.data())
async def test_any_batches_give_what_the_contract_says_now_and_then(
    session_views: Views, facts: list[Fact], batch: int, data: st.DataObject
) -> None:
    views, log, at = session_views, session_views.log, date(2020, 1, 1)
    await log.empty()
    head = await log.put(facts)
    await log.follow_up(batch)
    then = data.draw(st.integers(0, head))
    for position, known, as_of in ((head, facts, None), (then, facts[:then], then)):
        for year in YEARS:
            for branch in (None, *BRANCHES):
                assert await views.year(year, branch, as_of) == naive_counts(known, year, position, branch)
        for number in range(sum(isinstance(fact, PersonRegistered) for fact in facts)):
            expected = naive_competencies(known, uid("person", number), position, at)
            if expected is None:
                with pytest.raises(NotFound):
                    await views.held(number, at, as_of)
            else:
                assert await views.held(number, at, as_of) == expected


async def test_a_cancelled_registration_does_not_count_and_reopened_it_does_again(views: Views) -> None:
    await views.happened(registered(1, 1), registered(2, 2), closed(2, 2, "FAILED"))
    assert (await views.year())["registered"] == 2
    await views.happened(closed(1, 1, "CANCELLED"))
    assert (await views.year())["registered"] == 1
    await views.happened(reopened(1, 1))
    assert (await views.year())["registered"] == 2


async def test_a_person_with_two_certificates_counts_once_until_both_are_revoked(views: Views) -> None:
    first, second = awarded(1, 1), awarded(2, 1, branch="plasturgie")
    await views.happened(registered(1, 1), registered(2, 1), first, second)
    assert ((await views.year())["persons"], (await views.year(branch="plasturgie"))["persons"]) == (1, 1)
    await views.happened(revoked(second, 1))
    assert ((await views.year())["persons"], (await views.year(branch="plasturgie"))["persons"]) == (1, 0)
    await views.happened(revoked(first, 1))
    counts = await views.year()
    assert (counts["persons"], counts["beneficiaries"], counts["revoked"]) == (0, 0, 2)


async def test_merged_persons_count_once(views: Views) -> None:
    await views.happened(registered(1, 1), registered(2, 2), awarded(1, 1), awarded(2, 2))
    assert (await views.year())["persons"] == 2
    before = await views.happened(registered(3, 3), awarded(3, 3))
    await views.happened(merged(1, 2))
    await views.happened(merged(3, 1))
    assert (await views.year())["persons"] == 1
    assert (await views.year(as_of=before))["persons"] == 3
    await views.happened(revoked(awarded(2, 2), 2), revoked(awarded(1, 1), 1))
    assert (await views.year())["persons"] == 1
    await views.happened(revoked(awarded(3, 3), 3))
    assert (await views.year())["persons"] == 0


async def test_a_merge_takes_nobody_away_who_was_not_counted_twice(views: Views) -> None:
    await views.happened(registered(2, 2), awarded(2, 2), merged(1, 2), merged(1, 3))
    assert (await views.year())["persons"] == 1


async def test_the_last_objective_of_a_year_counts(views: Views) -> None:
    first = await views.happened(ObjectiveSet(year=2018, beneficiaries=100))
    await views.happened(ObjectiveSet(year=2018, beneficiaries=4), registered(1, 1), awarded(1, 1))
    assert (await views.year())["objective"] == {"beneficiaries": 4, "progress": 0.25}
    assert (await views.year(as_of=first))["objective"] == {"beneficiaries": 100, "progress": 0.0}
    assert (await views.year(as_of=first - 1))["objective"] is None


async def test_erased_is_erased_under_every_id_whatever_as_of(views: Views) -> None:
    before = await views.happened(registered(1, 2), awarded(1, 2), merged(1, 2))
    position = await views.happened(erased(1))
    for of in (1, 2):
        for as_of in (None, before):
            with pytest.raises(Erased) as refused:
                await views.held(of, as_of=as_of)
            assert refused.value.values["position"] == position
    assert (await views.year())["beneficiaries"] == 1


async def test_who_is_unknown_or_no_id_at_all_is_not_found(views: Views) -> None:
    with pytest.raises(NotFound):
        await views.held(9)
    with pytest.raises(NotFound):
        await views.competencies.answer("’; no id", at=None, as_of=None, min_position=None)


async def test_as_of_before_a_merge_each_id_is_its_own_person(views: Views) -> None:
    before = await views.happened(registered(1, 1), registered(2, 2))
    await views.happened(merged(1, 2))
    assert (await views.held(2))["person_id"] == uid("person", 1)
    assert (await views.held(2, as_of=before))["person_id"] == uid("person", 2)
    assert (await views.held(1, as_of=before))["open_registrations"] == [uid("registration", 1)]
    assert await views.log.pool.fetchval("SELECT count(*) FROM competencies.person") == 2


async def test_as_of_a_time_is_as_of_the_last_position_recorded_by_then(views: Views) -> None:
    position = await views.happened(registered(1, 1))
    await views.happened(closed(1, 1))
    for time in (recorded_at(position), recorded_at(position + 1) - timedelta(seconds=1)):
        answer = await views.held(as_of=time.isoformat())
        assert (answer["position"], len(answer["open_registrations"])) == (position, 1)
    assert (await views.held(as_of=recorded_at(position + 1).isoformat()))["open_registrations"] == []
    with pytest.raises(NotFound):
        await views.held(as_of="2017-12-31T23:59:59Z")


async def test_as_of_judges_usable_on_the_paris_day_of_that_moment(views: Views) -> None:
    """22:30 UTC in summer is tomorrow in Paris."""
    validation = validated(1, 1, 1, validated_on=date(2018, 6, 1), usable_until=date(2018, 6, 2))
    await views.happened(registered(1, 1), validation)
    for time, usable in (("2018-06-02T21:30:00Z", True), ("2018-06-02T22:30:00Z", False)):
        [bloc] = (await views.held(as_of=time))["blocs"]
        assert bloc["usable"] is usable
    [bloc] = (await views.held())["blocs"]
    assert bloc["usable"] is False
    [bloc] = (await views.held(at=date(2018, 6, 2)))["blocs"]
    assert bloc["usable"] is True


@pytest.mark.parametrize(
    "as_of",
    ["yesterday", "-1", "1.5", "2018-01-01", "2018-01-01T00:00:00", "", "١", (NOW + timedelta(seconds=1)).isoformat()],
)
async def test_an_as_of_that_is_no_moment_of_the_past_is_malformed(views: Views, as_of: str) -> None:
    with pytest.raises(Malformed):
        await views.year(as_of=as_of)


async def test_min_position_waits_until_the_view_is_there(views: Views) -> None:
    position = await views.log.put([registered(1, 1)])
    waiting = asyncio.create_task(views.positions.reached("counts", position))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    await views.log.follower(CountsView()).step()
    await asyncio.wait_for(waiting, 0.8 * POLL_S)  # woken, not polled


async def test_a_position_that_does_not_come_is_unavailable(views: Views) -> None:
    with pytest.raises(Unavailable):
        await views.positions.reached("counts", 1_000, wait_s=0.05)


async def test_lags_tell_how_far_each_view_is(views: Views) -> None:
    head = await views.log.put([registered(1, 1)])
    await views.log.follower(CountsView()).step()
    lags = await views.positions.lags()
    assert (lags["counts"].positions, lags["competencies"].positions) == (0, 1)
    assert lags["counts"].head == head


async def test_a_view_is_ready_once_it_has_caught_up_and_then_stays_so(views: Views) -> None:
    check = CaughtUp(views.positions, "counts", behind_max=1)
    await views.log.put([registered(1, 1), registered(2, 2)])
    with pytest.raises(Unavailable, match="2 positions behind"):
        await check()
    await views.log.follow_up()
    await check()
    await views.log.put([registered(3, 3), registered(4, 3)])
    await check()
