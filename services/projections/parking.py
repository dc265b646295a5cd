"""Events that a fold cannot take wait, and with them all later events of their keys, in order. Nothing is skipped.

What an event is about (its keys) nothing else changes, so the rest goes on and stays right. A merge has the keys of
both persons: when one of them waits the merge waits, and from then on so does the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import asyncpg
import structlog

from services.projections import metrics
from services.projections.builds import Connection, View
from services.projections.events import Event, Placed, Unreadable
from services.projections.leases import Fenced
from services.projections.writes import apply

ERROR_CHARACTERS_MAX = 500

# $1: schema.
_KEYS = "SELECT DISTINCT key FROM projections.parked WHERE schema = $1"

# $1: ids. Returns those that were merged, each with the id that stands for it now.
_KEPT_IDS = "SELECT merged_id, kept_id FROM {schema}.alias WHERE merged_id = ANY($1)"

# $1..$4: the columns.
_PARK = """
INSERT INTO projections.parked (schema, position, key, error)
SELECT $1, p.position, p.key, p.error FROM unnest($2::bigint[], $3::text[], $4::text[]) p(position, key, error)
"""

# $1: schema, $2: how many of the events that were counted as applied are parked instead.
_COUNT = "UPDATE projections.view SET events = events - $2, parked = parked + $2 WHERE schema = $1"

PERSON = "person:"

E = TypeVar("E", Placed, Placed | Unreadable)

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.projections")


class Poison(RuntimeError):
    """A fold does not take an event: a bug in the fold, or in what let the event into the log."""

    def __init__(self, view: str, position: int, error: Exception) -> None:
        super().__init__(f"view {view} cannot take the event at position {position}: {said(error)}")
        self.position = position


class _Parked(NamedTuple):
    position: int
    key: str
    error: str | None


def is_poison(error: Exception) -> bool:
    """Whether an error lies in an event or its fold, rather than in the database, the connection or the machine."""
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return isinstance(error, asyncpg.IntegrityConstraintViolationError | asyncpg.DataError)
    return not isinstance(error, OSError | TimeoutError | MemoryError | Fenced)


def said(error: Exception) -> str:
    """The error in one line."""
    return f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS_MAX]


def keys_of(event: Event) -> Sequence[str]:
    """What most views fold an event into: its persons, else its certification, else its year, else nothing else."""
    members = ("person_id", "kept_id", "merged_id")
    persons = [f"{PERSON}{getattr(event.data, member)}" for member in members if hasattr(event.data, member)]
    if persons:
        return persons
    for member in ("certification_id", "year"):
        if hasattr(event.data, member):
            return [f"{member.removesuffix('_id')}:{getattr(event.data, member)}"]
    return [f"event:{event.position}"]


class Parking:
    """The keys of a build that wait, within one transaction that holds the build's row. strict: nothing may wait."""

    def __init__(self, connection: Connection, view: View, schema: str, *, strict: bool = False) -> None:
        self._strict = strict
        self._connection = connection
        self._view = view
        self._schema = schema
        self._keys: set[str] = set()
        self._new: list[_Parked] = []

    async def load(self) -> None:
        """Learn which keys wait."""
        self._keys = {row[0] for row in await self._connection.fetch(_KEYS, self._schema)}

    async def sift(self, events: Sequence[E]) -> list[E]:
        """The events that may be applied; the others are parked behind those that wait already."""
        if not self._keys:
            return list(events)
        ready = []
        for event, keys in zip(events, await self._all_keys(events), strict=True):
            if self._keys.isdisjoint(keys):
                ready.append(event)
            else:
                self._add(event, keys, None)
        return ready

    async def park(self, event: Placed | Unreadable, error: Exception) -> None:
        """Park what could not be applied, and its keys. Raises Poison when strict."""
        if self._strict:
            raise Poison(self._view.name, event.position, error) from error
        metrics.PARKED.labels(self._view.name).inc()
        _log.error("view.parked", view=self._view.name, position=event.position, error=said(error), exc_info=error)
        [keys] = await self._all_keys([event])
        self._add(event, keys, said(error))

    async def save(self) -> int:
        """Write what was parked; how many events."""
        positions = {parked.position for parked in self._new}
        if positions:
            await self._connection.execute(_PARK, self._schema, *zip(*self._new, strict=True))
            await self._connection.execute(_COUNT, self._schema, len(positions))
        return len(positions)

    def _add(self, event: Event | Unreadable, keys: Iterable[str], error: str | None) -> None:
        self._keys.update(keys)
        self._new += [_Parked(event.position, key, error) for key in sorted(keys)]

    async def _all_keys(self, events: Sequence[Placed | Unreadable]) -> list[set[str]]:
        """The keys of each event, under the ids that they have by now as well."""
        keys = [set(self._view.keys(event)) for event in events]
        if self._view.merges:
            kept = await _kept_keys(self._connection, self._schema, set().union(*keys))
            keys = [own | {kept[key] for key in own if key in kept} for own in keys]
        return keys


async def _kept_keys(connection: Connection, schema: str, keys: Iterable[str]) -> Mapping[str, str]:
    ids = [key.removeprefix(PERSON) for key in keys if key.startswith(PERSON)]
    rows = await connection.fetch(_KEPT_IDS.format(schema=schema), ids)
    return {f"{PERSON}{merged_id}": f"{PERSON}{kept_id}" for merged_id, kept_id in rows}


async def apply_one_by_one(
    connection: Connection, view: View, schema: str, events: Sequence[Placed | Unreadable], parking: Parking
) -> None:
    """Apply what can be applied, each in a savepoint; park what cannot."""
    for event in events:
        for ready in await parking.sift([event]):
            try:
                if isinstance(ready, Unreadable):
                    raise ready.error
                async with connection.transaction():
                    await apply(connection, view, schema, [ready])
            except Exception as error:
                if not is_poison(error):
                    raise
                await parking.park(ready, error)
