"""Every query shape of Dynamic Consistency Boundaries: any types, all tags, several items, none. Exact, not fast.

Decisions do not come here: their boundaries are one tag × some types, which an index answers (`transaction`).
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import asyncpg
import msgspec

Connection: TypeAlias = "asyncpg.Connection | asyncpg.pool.PoolConnectionProxy"

# $1: after which position, $2: how many at most, $3: the items as JSON, null for all events. An event matches an item
# when its type is one of the item's, or the item names none, and it has all of the item's tags.
_READ = """
SELECT e.position, y.name AS type, e.entry,
       ARRAY(SELECT t.tag FROM log.tag t WHERE t.position = e.position ORDER BY t.tag) AS tags
FROM log.event e JOIN log.type y ON y.id = e.type
WHERE e.position > $1 AND ($3::jsonb IS NULL OR EXISTS (
    SELECT FROM jsonb_to_recordset($3) AS item(types text[], tags text[])
    WHERE (cardinality(item.types) = 0 OR y.name = ANY(item.types))
      AND NOT EXISTS (
        SELECT FROM unnest(item.tags) AS wanted(tag)
        WHERE NOT EXISTS (
            SELECT FROM log.tag t WHERE t.tag = wanted.tag AND t.type = e.type AND t.position = e.position
        )
      )
))
ORDER BY e.position LIMIT $2
"""

_NAME_TYPES = """
INSERT INTO log.type (name) SELECT DISTINCT unnest($1::text[]) ON CONFLICT (name) DO NOTHING
"""

_TYPES = "SELECT id, name FROM log.type WHERE name = ANY($1::text[])"

_LOCK = "SELECT pg_advisory_xact_lock(7420, 1)"

_HEAD = "SELECT coalesce(max(position), 0) FROM log.event"

_PUT = "SELECT log.put($1, clock_timestamp(), $2, $3, $4, $5, $6, $7)"


class Item(msgspec.Struct, frozen=True):
    """What an event must have: one of the types, if any are named, and all of the tags."""

    types: Sequence[str] = ()
    tags: Sequence[str] = ()


class Event(NamedTuple):
    """An event as this log sees it: opaque bytes, found by type and tags."""

    type: str
    tags: Sequence[str]
    entry: bytes


async def read(
    connection: Connection, items: Sequence[Item] | None, *, after: int = 0, limit: int | None = None
) -> list[tuple[int, Event]]:
    """The events behind a position that match at least one item, or all events, in order, with their positions."""
    query = None if items is None else msgspec.json.encode(items).decode()
    rows = await connection.fetch(_READ, after, limit, query)
    return [(row["position"], Event(row["type"], row["tags"], row["entry"])) for row in rows]


async def append(
    connection: asyncpg.Connection, events: Sequence[Event], *, unless: Sequence[Item] | None = None, after: int = 0
) -> int | None:
    """Append events, unless one behind a position matches (no items: any event; None: unconditionally).

    The new head, or None when the condition fails. For other event stores' interfaces; facts come by `LogWriter`.
    """
    names = [event.type for event in events]
    await connection.execute(_NAME_TYPES, names)
    types = {row["name"]: row["id"] for row in await connection.fetch(_TYPES, names)}
    async with connection.transaction():
        await connection.execute(_LOCK)
        if unless is not None and await read(connection, unless or None, after=after, limit=1):
            return None
        tags = [(tag, ordinal) for ordinal, event in enumerate(events, 1) for tag in dict.fromkeys(event.tags)]
        head: int = await connection.fetchval(
            _PUT,
            await connection.fetchval(_HEAD),
            [types[name] for name in names],
            [None] * len(events),
            [None] * len(events),
            [event.entry for event in events],
            [tag for tag, _ in tags],
            [ordinal for _, ordinal in tags],
        )
    return head
