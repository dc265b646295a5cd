"""The events of a thing: those that carry its decision tag, which the log has in the same transaction as the event."""

from collections.abc import Iterable
from typing import NamedTuple

import asyncpg

from contracts.envelope import StoredEvent
from contracts.facts import Fact
from services.log.reader import Entry

# $1: tags, $2, $3: behind and up to which position (null: the head), $4: wire names of types (null: all). Returns the
# events with any of these tags, in order, each once, and the head as a last row without type; nothing of an empty log.
_TAGGED = """
SELECT e.position, t.name, e.entry
FROM log.event e JOIN log.type t ON t.id = e.type
WHERE e.position IN (
    SELECT g.position FROM log.tag g
    WHERE g.tag = ANY($1) AND g.position > $2 AND ($3::bigint IS NULL OR g.position <= $3)
        AND ($4::text[] IS NULL OR g.type IN (SELECT id FROM log.type WHERE name = ANY($4)))
)
UNION ALL
(SELECT position, NULL, NULL FROM log.event ORDER BY position DESC LIMIT 1)
ORDER BY position, name NULLS LAST
"""


class Tagged(NamedTuple):
    """Some events in order, complete up to a position. They never change, so what is read of it later fits them."""

    position: int
    entries: list[Entry]

    def events(self) -> list[StoredEvent[Fact]]:
        return [entry.event() for entry in self.entries]


class TaggedEvents:
    """The log by decision tags, to read. Takes a connection of the pool for one statement at a time."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def read(
        self,
        tags: Iterable[str],
        *,
        after: int = 0,
        until: int | None = None,
        types: Iterable[type[Fact]] | None = None,
    ) -> Tagged:
        """The events with any of these tags behind position `after`, up to `until`: a position that the log has
        reached, None for its head as of the same snapshot."""
        names = None if types is None else [name for fact in types for name in fact.wire_names()]
        rows = await self._pool.fetch(_TAGGED, list(tags), after, until, names)
        head = rows.pop()["position"] if rows else 0
        return Tagged(head if until is None else until, [Entry(*row) for row in rows])
