"""Pages of the log's entries, all or only some. No connection is held between them."""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from contracts.problems import NotFound
from services.log.reader import PAGE, Entry, Lines, LogReader
from services.projections.builds import Live
from services.projections.positions import LOG, Positions
from services.projections.views.entries.tables import EntriesView

# $1: tags, $2, $3: behind and up to which position, $4: how many entries to look at, $5: wire names of types (null:
# all). Returns the entries with any of these tags in order, each once; the bytes are null where the type is not wanted.
# The tags of the view are read in the order of their index, no further than the page; in log.tag a thing has few.
_TAGGED = """
SELECT e.position, t.name, CASE WHEN $5::text[] IS NULL OR t.name = ANY($5) THEN e.entry END AS entry
FROM (
    SELECT found.position
    FROM unnest($1::text[]) wanted(tag), LATERAL (
        SELECT g.position FROM log.tag g WHERE g.tag = wanted.tag AND g.position > $2 AND g.position <= $3
        UNION
        (SELECT v.position FROM {schema}.tag v WHERE v.tag = wanted.tag AND v.position > $2 AND v.position <= $3
         ORDER BY v.position LIMIT $4)
    ) found
    GROUP BY found.position ORDER BY found.position LIMIT $4
) page
JOIN log.event e ON e.position = page.position
JOIN log.type t ON t.id = e.type
ORDER BY e.position
"""


class Wanted(NamedTuple):
    """Which entries: those of any of these types (None: of all) that carry any of these tags (None: all)."""

    types: Sequence[str] | None = None
    tags: Sequence[str] | None = None


EVERYTHING = Wanted()


class Page(NamedTuple):
    """Entries in order, and the position up to which there are no others."""

    entries: list[Entry]
    position: int


class EntriesReader:
    """The log, to read and to follow."""

    def __init__(self, pool: asyncpg.Pool, log: LogReader, positions: Positions) -> None:
        self._pool = pool
        self._log = log
        self._positions = positions
        self._live = Live(pool, EntriesView())

    async def head(self, wanted: Wanted, *, min_position: int | None = None) -> int:
        """The log's last position, once these entries can be found up to it.

        Raises Unavailable when that, or `min_position`, does not come in time.
        """
        if min_position is not None:
            await self._positions.reached(LOG, min_position)
        head = await self._positions.position(LOG)
        if wanted.tags is not None:
            await self._positions.reached(EntriesView.name, head)
        return head

    async def parked(self, wanted: Wanted) -> int:
        """How many events of the log wait for a repair before they can be found among these."""
        return 0 if wanted.tags is None else (await self._live.build()).parked

    async def reached(self, wanted: Wanted) -> int:
        """The last position up to which these entries can be found by now."""
        return await self._positions.position(LOG if wanted.tags is None else EntriesView.name)

    async def page(self, wanted: Wanted, after: int, *, until: int, limit: int | None = None) -> Page:
        """The first of these entries behind `after`, up to `until`: a position that `reached` has told."""
        count = PAGE if limit is None else min(PAGE, limit)
        if wanted.tags is None:
            entries = await self._log.page(after, limit=count, until=until, types=wanted.types)
            return Page(entries, entries[-1].position if len(entries) == count else until)
        schema = (await self._live.build()).schema  # live after `reached` has told `until`, so it knows as much
        rows = await self._pool.fetch(_TAGGED.format(schema=schema), wanted.tags, after, until, count, wanted.types)
        entries = [Entry(*row) for row in rows if row["entry"] is not None]
        return Page(entries, rows[-1]["position"] if len(rows) == count else until)

    async def lines(self, wanted: Wanted, after: int, *, until: int, limit: int | None = None) -> Lines:
        """As `page`, as bytes."""
        if wanted == EVERYTHING:
            return await self._log.lines(after, until=until, limit=limit)
        entries, position = await self.page(wanted, after, until=until, limit=limit)
        lines = b"".join(entry.entry + b"\n" for entry in entries)
        return Lines(len(entries), [lines] if lines else [], position)

    async def entry(self, position: int) -> Entry:
        """The entry at a position; NotFound where the log has none."""
        entry = await self._log.entry(position) if 1 <= position < 2**63 else None
        if entry is None:
            raise NotFound(f"The log has no position {position} yet.", position=position)
        return entry
