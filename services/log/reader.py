"""Reading the log in order. Pages are cut by position, so no connection is held between them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import NamedTuple, cast

import asyncpg

from contracts.envelope import StoredEvent
from contracts.facts import Fact
from contracts.unchecked import event_of

RECORDED_WITHIN = timedelta(milliseconds=250)
"""How old a recorded time is when it is put, at most, by the database's clock: who took it earlier, without the lock
that orders commits, takes it anew. So a reader knows when nothing can be recorded in a moment any more."""

PAGE = 1_000
"""Entries in a page of a long read."""

LINES_PAGE = 2_000
"""Entries in a page of one that only hands on their bytes."""

_HEAD = "SELECT position FROM log.event ORDER BY position DESC LIMIT 1"

_READ = """
SELECT e.position, t.name, e.entry
FROM log.event e JOIN log.type t ON t.id = e.type
WHERE e.position > $1 AND e.position <= $2 AND ($4::text[] IS NULL OR t.name = ANY($4))
ORDER BY e.position LIMIT $3
"""

# $1: behind which position, $2: up to which. Returns the entries' bytes with an LF between them, a block a row: what a
# row costs the server and the driver is paid once for many entries. A block is some 70 kB: for values of half a
# megabyte and more PostgreSQL gets its memory from the system anew each time, and takes twice as long.
_BLOCKS = r"""
SELECT (
    SELECT string_agg(entry, '\x0a' ORDER BY position) FROM log.event
    WHERE position > block AND position <= least(block + 100, $2)
)
FROM generate_series($1::bigint, $2::bigint - 1, 100) block ORDER BY block
"""

# recorded_at never decreases with position, so the last position recorded by a moment is found by halving.
_POSITION_AT = """
WITH RECURSIVE halving(low, high) AS (
    SELECT 0::bigint, coalesce((SELECT max(position) FROM log.event), 0)
    UNION ALL
    SELECT CASE WHEN e.recorded_at <= $1 THEN e.position ELSE h.low END,
           CASE WHEN e.recorded_at <= $1 THEN h.high ELSE e.position - 1 END
    FROM halving h JOIN log.event e ON e.position = (h.low + h.high + 1) / 2
    WHERE h.low < h.high
)
SELECT low FROM halving WHERE low = high
"""


class Entry(NamedTuple):
    """One event as stored: its position (from 1), its type's wire name, its bytes."""

    position: int
    type: str
    entry: bytes

    def event(self) -> StoredEvent[Fact]:
        """What it says. Checked when it was recorded, and not again: an audit does that."""
        return event_of(self.entry, self.type)


class Lines(NamedTuple):
    """So many entries in order, each as its bytes and an LF, in blocks. No others are there up to `position`."""

    size: int
    blocks: Sequence[bytes]
    position: int


class LogReader:
    """The log, to read. Takes a connection of the pool for one statement at a time, two of them for `lines`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def at_hand(self) -> "AsyncIterator[LogReader]":
        """The same on one connection, kept meanwhile, but for `lines`: asking the pool anew costs half a trip."""
        async with self._pool.acquire() as connection:
            yield LogReader(cast("asyncpg.Pool", connection))  # which is asked in the same words

    async def head(self) -> int:
        """The last position, 0 when the log is empty."""
        return await self._pool.fetchval(_HEAD) or 0

    async def page(
        self, after: int, *, limit: int = PAGE, until: int | None = None, types: Sequence[str] | None = None
    ) -> list[Entry]:
        """At most `limit` entries behind position `after`, up to `until`, in order."""
        rows = await self._pool.fetch(_READ, after, 2**62 if until is None else until, limit, types)
        return [Entry(*row) for row in rows]

    async def entries(
        self, after: int, *, until: int, limit: int | None = None, types: Sequence[str] | None = None
    ) -> AsyncIterator[list[Entry]]:
        """Pages of the entries behind `after`, up to `until`, at most `limit` in all."""
        left = 2**62 if limit is None else limit
        while left > 0 and (page := await self.page(after, limit=min(PAGE, left), until=until, types=types)):
            yield page
            left -= len(page)
            after = page[-1].position

    async def lines(self, after: int, *, until: int, limit: int | None = None) -> Lines:
        """All entries behind `after`, at most `LINES_PAGE` of them, up to `until`: a position behind `after` that the
        log has reached. For those who hand on bytes: half of the cost of `page`, or less.

        Two halves at once: PostgreSQL takes longer to find and hand over entries than they take to be sent.
        """
        end = min(until, after + min(LINES_PAGE, limit or LINES_PAGE))
        middle = min(end, after + LINES_PAGE // 2)
        halves = await asyncio.gather(self._blocks(after, middle), self._blocks(middle, end))
        return Lines(end - after, [*halves[0], *halves[1]], end)

    async def _blocks(self, after: int, end: int) -> list[bytes]:
        rows = await self._pool.fetch(_BLOCKS, after, end) if after < end else []
        return [block + b"\n" for (block,) in rows]

    async def entry(self, position: int) -> Entry | None:
        """The entry at a position, None beyond the head."""
        page = await self.page(position - 1, limit=1, until=position)
        return page[0] if page else None

    async def position_at(self, moment: datetime) -> int:
        """The last position recorded by a moment, 0 when that is before the first."""
        return await self._pool.fetchval(_POSITION_AT, moment) or 0
