"""Reads the record of accesses, page by page."""

from collections.abc import AsyncIterator

import asyncpg

PAGE = 1_000

# $1: behind which number, $2: up to which, $3: tags, null for all, $4: how many. Each entry as a line of JSON.
_PAGE = """
SELECT number, (jsonb_build_object(
    'number', number, 'at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'client_id', client_id,
    'method', method, 'route', route, 'status', status, 'tags', to_jsonb(tags)
) || target)::text AS line
FROM access.entry
WHERE number > $1 AND number <= $2 AND ($3::text[] IS NULL OR tags && $3)
ORDER BY number LIMIT $4
"""

_LAST = "SELECT coalesce(max(number), 0) FROM access.entry"


class AccessReader:
    """The record, in the order of its numbers."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def last(self) -> int:
        """The number of the last entry, 0 before the first."""
        number: int = await self._pool.fetchval(_LAST)
        return number

    async def lines(self, after: int, *, until: int, tags: list[str] | None, limit: int | None) -> AsyncIterator[bytes]:
        """The entries behind a number, up to another, with any of these tags; no connection is held between pages."""
        left = limit
        while left != 0:
            count = PAGE if left is None else min(PAGE, left)
            rows = await self._pool.fetch(_PAGE, after, until, tags, count)
            if rows:
                yield "".join(f"{row['line']}\n" for row in rows).encode()
            if len(rows) < count:
                return
            after = rows[-1]["number"]
            left = None if left is None else left - len(rows)
