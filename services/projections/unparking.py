"""Playing parked events once their cause is repaired: in order, all of some keys or none of them."""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from services.projections.batches import read_events
from services.projections.builds import Connection, View, read_build
from services.projections.events import Placed, Unreadable
from services.projections.follower import VIEW_CHANNEL
from services.projections.parking import Parking, apply_one_by_one, is_poison

# $1: schema, $2: behind which position. Returns the next that waits.
_NEXT = "SELECT min(position) FROM projections.parked WHERE schema = $1 AND position > $2"

# $1: schema, $2: a position that waits. Returns the positions of all events whose keys hang together with its keys.
_TOGETHER = """
WITH RECURSIVE together (key) AS (
    SELECT key FROM projections.parked WHERE schema = $1 AND position = $2
    UNION
    SELECT other.key FROM together t
    JOIN projections.parked p ON p.schema = $1 AND p.key = t.key
    JOIN projections.parked other ON other.schema = $1 AND other.position = p.position
)
SELECT DISTINCT p.position FROM together t JOIN projections.parked p ON p.schema = $1 AND p.key = t.key ORDER BY 1
"""

# $1: schema, $2: positions.
_FORGET = "DELETE FROM projections.parked WHERE schema = $1 AND position = ANY($2)"

# $1: schema, $2: how many.
_COUNT = "UPDATE projections.view SET events = events + $2, parked = parked - $2 WHERE schema = $1"

_TELL = "SELECT pg_notify($1, $2)"


class Unparked(NamedTuple):
    """played: how many events are in the view now. failures: what stands in the way of the others, a line each."""

    played: int
    failures: Sequence[str]


async def unpark(view: View, pool: asyncpg.Pool) -> Unparked:
    """Play what waits in the live build, keys that hang together at a time. What still fails goes on waiting."""
    played, position = 0, 0
    failures: list[str] = []
    left: set[int] = set()
    while True:
        async with pool.acquire() as connection, connection.transaction():
            build = await read_build(connection, view.name, lock=True)  # its follower waits
            if build is None or (build.version, build.layout) != (view.version, view.layout):
                raise LookupError(f"{view.name} has no tables of version {view.version}: rebuild it")
            position = await connection.fetchval(_NEXT, build.schema, position) or 0
            if position == 0:
                return Unparked(played, failures)
            if position in left:
                continue
            together = [row[0] for row in await connection.fetch(_TOGETHER, build.schema, position)]
            failure = await _play(connection, view, build.schema, await read_events(connection, together))
            if failure is not None:
                failures.append(failure)
                left.update(together)
                continue
            await connection.execute(_FORGET, build.schema, together)
            await connection.execute(_COUNT, build.schema, len(together))
            await connection.execute(_TELL, VIEW_CHANNEL, view.name)
        played += len(together)


async def _play(connection: Connection, view: View, schema: str, events: Sequence[Placed | Unreadable]) -> str | None:
    """Apply events; None, or what is in the way: then none of them is applied."""
    parking = Parking(connection, view, schema, strict=True)
    try:
        async with connection.transaction():
            await apply_one_by_one(connection, view, schema, events, parking)
    except Exception as error:
        if not is_poison(error):
            raise
        return str(error)
    return None
