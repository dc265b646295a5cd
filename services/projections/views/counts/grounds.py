"""What a figure of a year rests on: the events that changed it, each with its position, whose changes add up to it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from services.projections.builds import Connection
from services.projections.views.counts.fold import ALL_BRANCHES

Figure = Literal["registered", "beneficiaries", "persons", "revoked", "objective"]

# $1: year, $2: up to which position, $3: behind which, $4: how many. Returns the value there, and the changes.
_PAGE = """
WITH found AS ({source})
SELECT NULL AS position, ({value})::bigint AS change FROM found
UNION ALL
(SELECT position, change FROM found WHERE position > $3 ORDER BY position LIMIT $4)
"""

# $5..$9: certification, family, status, branch and region, null for any.
_CELLS = """
SELECT position, {figure} AS change FROM {schema}.delta
WHERE year = $1 AND position <= $2 AND {figure} <> 0
    AND ($5::text IS NULL OR certification_id = $5) AND ($6::text IS NULL OR family = $6)
    AND ($7::text IS NULL OR reporting_status = $7) AND ($8::text IS NULL OR branch = $8)
    AND ($9::text IS NULL OR region = $9)
"""

# $5: a branch, '' for all.
_PERSONS = """
SELECT position, persons AS change FROM {schema}.persons_delta
WHERE year = $1 AND branch = $5 AND position <= $2
"""

# The last one counts (O1).
_OBJECTIVE = """
SELECT position, beneficiaries AS change FROM {schema}.objective
WHERE year = $1 AND position <= $2 ORDER BY position DESC LIMIT 1
"""


class Wanted(NamedTuple):
    """A figure of a year; of one certification, family, status, branch or region where they are given.

    region: NO_REGION for those whose region nobody named.
    """

    year: int
    figure: Figure
    certification_id: str | None = None
    family: str | None = None
    reporting_status: str | None = None
    branch: str | None = None
    region: str | None = None


class Change(Struct, frozen=True, kw_only=True):
    """An event, and by how much it changed the figure."""

    position: int
    change: int


class CountGrounds(Struct, frozen=True, kw_only=True):
    """The events that changed a figure up to a position, a page of them, in order: all of them add up to its value.

    value: null for an objective that nobody has set. next_after: where the next page begins, null after the last.
    """

    year: int
    figure: Figure
    position: int
    value: int | None
    events: list[Change]
    next_after: int | None


async def changes_of(
    connection: Connection, schema: str, wanted: Wanted, *, until: int, after: int, limit: int
) -> tuple[int | None, list[Change]]:
    """The value of a figure at a position, and the first `limit` events behind `after` that made it."""
    value = "coalesce(sum(change), 0)"
    of: tuple[str | None, ...] = ()
    match wanted.figure:
        case "objective":
            source, value = _OBJECTIVE, "max(change)"
        case "persons":
            source, of = _PERSONS, (wanted.branch or ALL_BRANCHES,)
        case _:
            source, of = _CELLS, wanted[2:]
    statement = _PAGE.format(source=source.format(schema=schema, figure=wanted.figure), value=value)
    whole, *page = await connection.fetch(statement, wanted.year, until, after, limit, *of)
    return whole["change"], [Change(position=row["position"], change=row["change"]) for row in page]


def count_grounds(
    wanted: Wanted, value: int | None, changes: Sequence[Change], *, position: int, limit: int
) -> CountGrounds:
    """The answer of which `changes` are the page and, where there is one, what comes behind it."""
    more = len(changes) > limit
    return CountGrounds(
        year=wanted.year,
        figure=wanted.figure,
        position=position,
        value=value,
        events=list(changes[:limit]),
        next_after=changes[limit - 1].position if more else None,
    )
