"""Reading the log for a view: ranges of positions without a gap, with the bytes of those types only that it folds."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from contracts.facts import Fact
from services.projections.builds import Asked, Connection
from services.projections.events import Placed, Unreadable, placed, unreadable

# $1: behind which position, $2: up to which, $3: how many, $4: numbers of the types whose bytes are wanted.
_RANGE = """
SELECT position, type, CASE WHEN type = ANY($4::smallint[]) THEN entry END
FROM log.event WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3
"""

_HEAD = "SELECT position FROM log.event ORDER BY position DESC LIMIT 1"

# $1: positions. Returns their entries, in order.
_ENTRIES = """
SELECT e.position, t.name, e.entry FROM log.event e JOIN log.type t ON t.id = e.type
WHERE e.position = ANY($1) ORDER BY e.position
"""

_TYPES = "SELECT id, name FROM log.type"

UNBOUNDED = 2**62


class NotTheLog(RuntimeError):
    """What was read is not the log that this view has followed so far: events are missing, or are others."""


Stored: TypeAlias = tuple[int, str, bytes]
"""Position, type and bytes of an event."""


class Batch(NamedTuple):
    """What the log has behind a position, up to `reached`; `stored` holds those of it that the view folds.

    decoded: the same as events; None when the bytes of one are not of its type.
    """

    after: int
    reached: int
    stored: Sequence[Stored]
    decoded: Sequence[Placed] | None

    @property
    def length(self) -> int:
        return self.reached - self.after

    def events_one_by_one(self) -> "list[Placed | Unreadable]":
        """The events, with those that cannot be decoded."""
        return [_event(stored) for stored in self.stored]

    def digest(self, before: bytes) -> bytes:
        """The digest of all events up to here, from that of all before."""
        digest, sha256 = before, hashlib.sha256
        for _, _, entry in self.stored:
            digest = sha256(digest + entry).digest()
        return digest


class BatchReader:
    """Reads the log for one view."""

    def __init__(self, facts: Sequence[type[Fact]]) -> None:
        self._wanted = frozenset(name for fact in facts for name in fact.wire_names())
        self._names: dict[int, str] = {}

    async def read(self, asked: Asked, after: int, *, limit: int, until: int = UNBOUNDED) -> Batch:
        """The next `limit` positions behind `after`, or fewer at the head.

        Raises NotTheLog when a position is missing, or the log ends before `after`.
        """
        rows = await asked.fetch(_RANGE, after, until, limit, self._type_ids())
        if not rows:
            await self._check_end(asked, after, until)
            return Batch(after, after, (), ())
        if rows[-1][0] != after + len(rows):
            missing = next(at for at, row in enumerate(rows, after + 1) if row[0] != at)
            raise NotTheLog(f"the log has no event {missing}")
        if any(row[1] not in self._names for row in rows):
            self._names = {id_: name for id_, name in await asked.fetch(_TYPES)}  # noqa: C416 (rows are no tuples)
            return await self.read(asked, after, limit=limit, until=until)
        names = self._names
        stored = [(position, names[type_], entry) for position, type_, entry in rows if entry is not None]
        return Batch(after, rows[-1][0], stored, _decoded(stored))

    async def _check_end(self, asked: Asked, after: int, until: int) -> None:
        """Nothing is behind `after`: then it is the end of the log, or something is missing."""
        head = await asked.fetchval(_HEAD) or 0
        if head < after:
            raise NotTheLog(f"the view is at {after}, the log ends at {head}")
        rows = await asked.fetch(_RANGE, after, until, 1, [])
        if rows and rows[0][0] != after + 1:
            raise NotTheLog(f"the log has no event {after + 1}")

    def _type_ids(self) -> list[int]:
        return [id_ for id_, name in self._names.items() if name in self._wanted]


def _decoded(stored: Sequence[Stored]) -> Sequence[Placed] | None:
    try:
        return [placed(*one) for one in stored]
    except (msgspec.MsgspecError, KeyError):
        return None


async def read_events(connection: Connection, positions: Sequence[int]) -> list[Placed | Unreadable]:
    """The events at some positions, in order."""
    return [_event(tuple(row)) for row in await connection.fetch(_ENTRIES, positions)]


def _event(stored: Stored) -> Placed | Unreadable:
    position, _, entry = stored
    try:
        return placed(*stored)
    except (msgspec.MsgspecError, KeyError) as error:
        return unreadable(position, entry, error)
