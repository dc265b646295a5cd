"""What answers rest on, by an independent reading of the facts: nothing too many, nothing missing."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import date, timedelta
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from hypothesis import given as for_any
from hypothesis import strategies as st

from contracts.facts import Fact, ObjectiveSet, PersonRegistered
from services.embedded.data_folder import DataFolder
from services.embedded.postgres import Postgres
from services.projections.moments import Moments
from services.projections.positions import Positions
from services.projections.views.competencies.reading import CompetenciesReader
from services.projections.views.counts.grounds import Wanted
from services.projections.views.counts.reading import CountsReader
from tests.integration.filled_log import FilledLog, filled_log
from tests.integration.read_side import read_side
from tests.unit.careers import (
    BRANCHES,
    CERTIFICATIONS,
    START,
    YEARS,
    awarded,
    closed,
    erased,
    histories,
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
from tests.unit.naive import naive_competencies, naive_counts

AT = date(2020, 1, 1)
FIGURES = ("registered", "beneficiaries", "persons", "revoked")


class Views:
    """A log and what is read out of its views."""

    def __init__(self, log: FilledLog) -> None:
        self.log = log
        positions = Positions(log.pool, log.reader, log.news)
        moments = Moments(log.reader, positions, lambda: START + timedelta(days=3_000))
        self.competencies = CompetenciesReader(log.pool, positions, moments)
        self.counts = CountsReader(log.pool, positions, moments)

    async def happened(self, facts: Sequence[Fact]) -> int:
        """Let these facts, and no others, have happened."""
        await self.log.empty()
        head = await self.log.put(facts)
        await self.log.follow_up()
        return head

    async def of_person(self, number: int, as_of: int | None = None) -> Any:
        asked = None if as_of is None else str(as_of)
        return msgspec.to_builtins(
            await self.competencies.grounds(uid("person", number), as_of=asked, min_position=None)
        )

    async def of_figure(self, wanted: Wanted, as_of: int | None = None, limit: int = 10_000) -> tuple[int, list[Any]]:
        """The value, and the changes of all pages."""
        after, changes = 0, list[Any]()
        while True:
            page, _ = await self.counts.grounds(
                wanted, as_of=None if as_of is None else str(as_of), min_position=None, after=after, limit=limit
            )
            assert len(page.events) <= limit
            changes += [(change.position, change.change) for change in page.events]
            if page.next_after is None:
                return page.value, changes  # type: ignore[return-value]
            after = page.next_after


@pytest_asyncio.fixture(scope="module")
async def views(postgres: Postgres) -> AsyncIterator[Views]:
    await postgres.create_database("grounds")
    async with filled_log(postgres.url("grounds")) as log:
        yield Views(log)


def positions_of(rows: Iterable[dict[str, Any]]) -> set[int]:
    return {position for row in rows for position in row["positions"]}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_any(facts=histories, data=st.data())
async def test_the_events_named_are_enough_for_the_answer_and_each_is_needed(
    views: Views, facts: list[Fact], data: st.DataObject
) -> None:
    head = await views.happened(facts)
    then = data.draw(st.integers(0, head))
    registered_persons = sum(isinstance(fact, PersonRegistered) for fact in facts)
    number = data.draw(st.integers(0, max(0, registered_persons - 1)))
    for position, as_of in ((head, None), (then, then)):
        answer = naive_competencies(facts[:position], uid("person", number), position, AT)
        if answer is None:
            continue
        grounds = await views.of_person(number, as_of)
        rows = [row for name in ("certificates", "blocs", "competences") for row in grounds[name]]
        named = {*positions_of(rows), *grounds["prior_level"], *grounds["highest_level"]}
        generous = {*grounds["person"], *grounds["prior_level_closings"], *positions_of(grounds["open_registrations"])}
        everything = named | generous
        assert told(facts, everything, number, position) == answer
        # Another registration that is open may give the same prior level: it does not stand in here.
        rested_on = everything - (positions_of(grounds["open_registrations"]) - named)
        for needed in data.draw(st.permutations(sorted(named)))[:8]:
            assert told(facts, rested_on - {needed}, number, position) != told(facts, rested_on, number, position)


def told(facts: Sequence[Fact], positions: Iterable[int], number: int, head: int) -> Any:
    """What is known of a person by who only knows the facts at these positions; None where they make no sense."""
    try:
        return naive_competencies([facts[p - 1] for p in sorted(positions)], uid("person", number), head, AT)
    except KeyError:  # a bloc of a version that nobody published
        return None


CAREER: list[Fact] = [
    published("cqpm-a"),  # 1
    published("cqpi-b"),  # 2
    person(1),  # 3
    person(2),  # 4
    registered(1, 1, prior_level=3),  # 5
    registered(2, 2, "cqpi-b"),  # 6
    validated(1, 1, 1, "a1"),  # 7
    validated(2, 2, 2, "common", certification_id="cqpi-b", validated_on=date(2018, 4, 1)),  # 8
    closed(1, 1, "FAILED"),  # 9
    reopened(1, 1),  # 10
    merged(1, 2),  # 11
    awarded(2, 1, "cqpi-b", level=4),  # 12
    validated(3, 1, 1, "common", validated_on=date(2018, 6, 1)),  # 13
    revoked(awarded(2, 1, "cqpi-b"), 1),  # 14
    invalidated(validated(1, 1, 1, "a1"), 1),  # 15
]


async def test_each_row_names_the_events_that_it_comes_from(views: Views) -> None:
    await views.happened(CAREER)
    number = awarded(2, 1).certificate_number
    grounds = await views.of_person(2)
    assert grounds["person_id"] == uid("person", 1)
    assert (grounds["position"], grounds["person"]) == (15, [3, 4, 11])
    assert grounds["certificates"] == [{"certificate_number": number, "positions": [12, 14]}]
    assert {(bloc["validation_id"], *bloc["positions"]) for bloc in grounds["blocs"]} == {
        (uid("validation", 2), 2, 8),
        (uid("validation", 3), 1, 13),
    }
    assert {(*held.values(),)[1] for held in grounds["competences"]} == {"common"}
    assert all(held["positions"] == [2, 8] for held in grounds["competences"])
    assert (grounds["prior_level"], grounds["highest_level"]) == ([5], [])
    assert grounds["open_registrations"] == [{"registration_id": uid("registration", 1), "positions": [5, 9, 10]}]


async def test_what_closed_the_registration_that_gives_the_prior_level_is_named_too(views: Views) -> None:
    """Who knew the registration alone would take it for open."""
    facts = [
        published("cqpm-a"),
        person(0),
        registered(0, 0, prior_level=3),
        closed(0, 0),
        reopened(0, 0),
        closed(0, 0),
    ]
    head = await views.happened(facts)
    grounds = await views.of_person(0)
    assert (grounds["prior_level"], grounds["prior_level_closings"], grounds["open_registrations"]) == (
        [3],
        [4, 5, 6],
        [],
    )
    everything = {*grounds["person"], *grounds["prior_level"], *grounds["prior_level_closings"]}
    assert told(facts, everything, 0, head) == naive_competencies(facts, uid("person", 0), head, AT)


async def test_the_grounds_of_a_past_position_are_those_known_then(views: Views) -> None:
    await views.happened(CAREER)
    then = await views.of_person(1, as_of=13)
    assert then["certificates"][0]["positions"] == [12]
    assert then["highest_level"] == [12]
    assert len(then["blocs"]) == 3
    before_the_merge = await views.of_person(2, as_of=10)
    assert (before_the_merge["person_id"], before_the_merge["person"]) == (uid("person", 2), [4])
    assert [bloc["positions"] for bloc in before_the_merge["blocs"]] == [[2, 8]]


# Counts


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_any(
    facts=histories, year=st.sampled_from(YEARS), branch=st.sampled_from((None, *BRANCHES)), limit=st.integers(1, 9)
)
async def test_exactly_the_events_that_change_a_figure_are_named(
    views: Views, facts: list[Fact], year: int, branch: str | None, limit: int
) -> None:
    """The figure is counted anew after each fact: where it differs from before, the fact is among the grounds."""
    head = await views.happened(facts)
    counted = [naive_counts(facts[:position], year, position, branch) for position in range(head + 1)]
    for figure in FIGURES:
        values = [counts[figure] for counts in counted]
        changes = [(p, values[p] - values[p - 1]) for p in range(1, head + 1) if values[p] != values[p - 1]]
        wanted = Wanted(year, figure, branch=branch)  # type: ignore[arg-type]
        assert await views.of_figure(wanted, limit=limit) == (values[head], changes)
        then = head // 2
        assert await views.of_figure(wanted, then) == (values[then], [c for c in changes if c[0] <= then])


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_any(facts=histories, year=st.sampled_from(YEARS))
async def test_the_grounds_of_each_row_add_up_to_it(views: Views, facts: list[Fact], year: int) -> None:
    head = await views.happened(facts)
    counts = naive_counts(facts, year, head)
    for figure in ("registered", "beneficiaries"):
        for certification_id in CERTIFICATIONS:
            rows = {row["certification_id"]: row[figure] for row in counts["by_certification"]}
            wanted = Wanted(year, figure, certification_id=certification_id)  # type: ignore[arg-type]
            value, changes = await views.of_figure(wanted)
            assert value == rows.get(certification_id, 0) == sum(change for _, change in changes)
        for status, row in counts["by_status"].items():
            value, _ = await views.of_figure(Wanted(year, figure, reporting_status=status))  # type: ignore[arg-type]
            assert value == row[figure]
        for family, row in counts["by_family"].items():
            value, _ = await views.of_figure(Wanted(year, figure, family=family))  # type: ignore[arg-type]
            assert value == row[figure]
        for row in counts["by_region"]:
            value, _ = await views.of_figure(Wanted(year, figure, region=row["region"] or ""))  # type: ignore[arg-type]
            assert value == row[figure]


HISTORY: list[Fact] = [
    published("cqpm-a"),
    *(person(number) for number in (1, 2, 3)),
    registered(1, 1, region="84"),  # 5
    registered(2, 2),  # 6
    registered(3, 3),  # 7
    closed(3, 3, "CANCELLED"),  # 8
    awarded(1, 1, region="84"),  # 9
    awarded(2, 2),  # 10
    merged(1, 2),  # 11
    revoked(awarded(1, 1), 1),  # 12
    ObjectiveSet(year=2018, beneficiaries=10),  # 13
    ObjectiveSet(year=2018, beneficiaries=20),  # 14
    erased(3),  # 15
]
URL = "/v1/branch/counts/grounds"


@pytest_asyncio.fixture
async def http(views: Views, data_folder: DataFolder) -> AsyncIterator[httpx.AsyncClient]:
    await views.happened(HISTORY)
    async with read_side(views.log, data_folder) as client:
        yield client


@pytest.mark.parametrize(
    ("query", "value", "changes"),
    [
        ("figure=registered", 2, [(5, 1), (6, 1), (7, 1), (8, -1)]),
        ("figure=beneficiaries", 1, [(9, 1), (10, 1), (12, -1)]),
        ("figure=revoked", 1, [(12, 1)]),
        ("figure=persons", 1, [(9, 1), (10, 1), (11, -1)]),
        ("figure=persons&branch=plasturgie", 0, []),
        ("figure=objective", 20, [(14, 20)]),
        ("figure=objective&as_of=13", 10, [(13, 10)]),
        ("figure=objective&as_of=12", None, []),
        ("figure=registered&region=84", 1, [(5, 1)]),
        ("figure=registered&region=none&as_of=7", 2, [(6, 1), (7, 1)]),
        ("figure=registered&certification_id=cqpm-a&family=CQPM&status=SALARIE&branch=metallurgie&limit=2", 2, None),
        ("figure=registered&family=CCPI", 0, []),
    ],
)
async def test_why_a_figure_is_what_it_is(
    http: httpx.AsyncClient, bearer: Any, query: str, value: int | None, changes: list[tuple[int, int]] | None
) -> None:
    answer = await http.get(f"{URL}?year=2018&{query}", headers=bearer("log:read"))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["value"] == value
    if changes is None:
        assert ([event["position"] for event in body["events"]], body["next_after"]) == ([5, 6], 6)
    else:
        assert body["events"] == [{"position": position, "change": change} for position, change in changes]
        assert body["next_after"] is None
    assert answer.headers["Registry-Position"] == str(body["position"])


@pytest.mark.parametrize(
    "query",
    [
        "figure=registered",
        "year=2018",
        "year=2018&figure=success_rate",
        "year=2018&figure=persons&family=CQPM",
        "year=2018&figure=objective&branch=metallurgie",
        "year=2018&figure=registered&region=Rhône",
        "year=2018&figure=registered&limit=0",
        "year=2018&figure=registered&limit=10001",
        "year=0&figure=registered",
    ],
)
async def test_what_is_not_counted_is_malformed(http: httpx.AsyncClient, bearer: Any, query: str) -> None:
    answer = await http.get(f"{URL}?{query}", headers=bearer("log:read"))
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")


async def test_grounds_are_for_who_may_read_the_log(http: httpx.AsyncClient, bearer: Any) -> None:
    of_counts, of_person = f"{URL}?year=2018&figure=registered", f"/v1/persons/{uid('person', 1)}/competencies/grounds"
    for path in (of_counts, of_person):
        assert (await http.get(path)).status_code == 401
        assert (await http.get(path, headers=bearer("persons:read"))).status_code == 403
    assert (await http.get(of_person, headers=bearer("log:read"))).status_code == 403
    answer = await http.get(of_person, headers=bearer("log:read", "persons:read"))
    assert answer.json()["certificates"][0]["positions"] == [9, 12]
    assert answer.headers["Registry-Position"] == str(len(HISTORY))
    gone = f"/v1/persons/{uid('person', 3)}/competencies/grounds"
    assert (await http.get(gone, headers=bearer("log:read", "persons:read"))).status_code == 410
