"""How counts come out of the tables, now and as of a position."""

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, NamedTuple

import asyncpg

from services.projections.builds import Connection, read_build
from services.projections.moments import Moments
from services.projections.positions import Positions
from services.projections.views.counts.answer import Counts, Total, YearFacts, counts
from services.projections.views.counts.fold import ALL_BRANCHES
from services.projections.views.counts.grounds import CountGrounds, Wanted, changes_of, count_grounds
from services.projections.views.counts.tables import CountsView

# $1: schema, $2: a position. Returns how many events up to there wait for a repair.
_PARKED = "SELECT count(DISTINCT position) FROM projections.parked WHERE schema = $1 AND position <= $2"

# All groupings in one pass. $1, $2: first and last year, $3: a branch or null for all.
_TOTALS = """
SELECT year, family, reporting_status, certification_id, branch, region,
       sum(registered)::int AS registered, sum(beneficiaries)::int AS beneficiaries, sum(revoked)::int AS revoked
FROM {source}
WHERE year BETWEEN $1 AND $2 AND ($3::text IS NULL OR branch = $3) {until}
GROUP BY year, GROUPING SETS ((), (family), (reporting_status), (certification_id), (branch), (region))
"""

# $1, $2: first and last year, $3: a branch, '' for all.
_PERSONS = """
SELECT year, sum(persons)::int AS persons FROM {source}
WHERE year BETWEEN $1 AND $2 AND branch = $3 {until} GROUP BY year
"""

# The last objective of each year counts (O1). $1, $2: first and last year.
_OBJECTIVES = """
SELECT DISTINCT ON (year) year, beneficiaries FROM {source}
WHERE year BETWEEN $1 AND $2 {until} ORDER BY year, position DESC
"""


class Snapshot(NamedTuple):
    """The tables at one moment: their schema, the position asked for, and how many events up to there are missing."""

    connection: Connection
    schema: str
    position: int
    parked: int


@contextlib.asynccontextmanager
async def snapshot(pool: asyncpg.Pool, as_of: int | None) -> AsyncIterator[Snapshot]:
    """as_of: a position that the view has reached; None: what the view knows by now."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        build = await read_build(connection, CountsView.name)
        assert build is not None, "the view's migration makes its row"
        build.check_layout(CountsView())
        position = build.position if as_of is None else as_of
        parked = await connection.fetchval(_PARKED, build.schema, position) if build.parked else 0
        yield Snapshot(connection, build.schema, position, parked)


class Found(NamedTuple):
    """What the view knows of some years at a position; `parked` events up to there are missing in it."""

    position: int
    parked: int
    years: dict[int, YearFacts]


class CountsTables:
    """The tables, to read: each answer of one snapshot."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def years(self, first: int, last: int, *, branch: str | None, as_of: int | None) -> Found:
        """What is summed up for the years of which anything is known.

        as_of: a position that the view has reached; None: what the view knows by now.
        """
        async with snapshot(self._pool, as_of) as (connection, schema, position, parked):
            statement = partial(_statement, schema, as_of)
            of_branch = ALL_BRANCHES if branch is None else branch
            totals = await connection.fetch(*statement(_TOTALS, "cell", "delta", first, last, branch))
            persons = await connection.fetch(*statement(_PERSONS, "persons", "persons_delta", first, last, of_branch))
            objectives = await connection.fetch(*statement(_OBJECTIVES, "objective", "objective", first, last))
        years = _years(
            [Total(*row) for row in totals],
            {row["year"]: row["persons"] for row in persons},
            {row["year"]: row["beneficiaries"] for row in objectives},
        )
        return Found(position, parked, years)


def _statement(schema: str, as_of: int | None, template: str, now: str, then: str, *arguments: Any) -> tuple[Any, ...]:
    """The statement over the sums of all changes, or over the changes up to a position, with its arguments."""
    if as_of is None:
        return template.format(source=f"{schema}.{now}", until=""), *arguments
    until = f"AND position <= ${len(arguments) + 1}"
    return template.format(source=f"{schema}.{then}", until=until), *arguments, as_of


def _years(totals: list[Total], persons: dict[int, int], objectives: dict[int, int]) -> dict[int, YearFacts]:
    totals_of: defaultdict[int, list[Total]] = defaultdict(list)
    for total in totals:
        totals_of[total.year].append(total)
    return {
        year: YearFacts(totals_of[year], persons.get(year, 0), objectives.get(year))
        for year in totals_of.keys() | objectives.keys()
    }


class CountsReader:
    """Says what the branch counts."""

    def __init__(self, pool: asyncpg.Pool, positions: Positions, moments: Moments) -> None:
        self._pool = pool
        self._tables = CountsTables(pool)
        self._positions = positions
        self._moments = moments

    async def grounds(
        self, wanted: Wanted, *, as_of: str | None, min_position: int | None, after: int, limit: int
    ) -> tuple[CountGrounds, int]:
        """What a figure rests on, and how many events are missing. Raises as `answer` does."""
        moment = await self._moment(as_of, min_position)
        async with snapshot(self._pool, moment) as (connection, schema, position, parked):
            value, changes = await changes_of(connection, schema, wanted, until=position, after=after, limit=limit + 1)
        return count_grounds(wanted, value, changes, position=position, limit=limit), parked

    async def _moment(self, as_of: str | None, min_position: int | None) -> int | None:
        """The position asked for, None for what is known by now, once the view has reached both."""
        if min_position is not None:
            await self._positions.reached(CountsView.name, min_position)
        return None if as_of is None else (await self._moments.moment(CountsView.name, as_of)).position

    async def answer(
        self,
        first: int,
        last: int,
        *,
        branch: str | None,
        as_of: str | None,
        min_position: int | None,
        everything: bool,
    ) -> tuple[int, int, list[Counts]]:
        """The position answered for, how many events are missing, and the counts of each year from first to last.

        everything: also the rows that are too small to be public. Raises Malformed, and Unavailable when the view lags.
        """
        moment = await self._moment(as_of, min_position)
        position, parked, known = await self._tables.years(first, last, branch=branch, as_of=moment)
        years = range(first, last + 1)
        nothing = YearFacts((), 0, None)
        return (
            position,
            parked,
            [counts(year, known.get(year, nothing), position=position, everything=everything) for year in years],
        )
