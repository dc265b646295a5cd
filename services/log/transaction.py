"""The group transaction: lock, look, decide, write, commit. One connection, used by one group at a time."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from contracts.envelope import decode
from contracts.facts import FACTS, Fact
from contracts.facts.fact import REFERENCE
from contracts.problems import Problem, Unavailable
from services.log.boundary import Boundary, Key
from services.log.group import Group, Receipt
from services.log.proposal import Outcome, Placed, Recorded, Reference, Unit

CLOCK_SKEW_MAX = timedelta(seconds=60)
"""How far the last recorded time may lie before this writer's clock."""

CONNECTION_SETTINGS = {
    "application_name": "certibranche log",
    # A plan made while the tables were small, or statistics missing, must not turn into a scan of the log.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    # A stopped writer holds the lock no longer than this; the others go on.
    "idle_in_transaction_session_timeout": "2s",
    "lock_timeout": "10s",
    "statement_timeout": "30s",
}

_BEGIN = "BEGIN; SELECT pg_advisory_xact_lock(7420, 1)"

_HEAD = "SELECT position, recorded_at FROM log.event ORDER BY position DESC LIMIT 1"

_RECEIPTS = """
SELECT e.key, e.content, e.position, t.name, e.entry
FROM unnest($1::bytea[]) k(key) JOIN log.event e ON e.key = k.key JOIN log.type t ON t.id = e.type
"""

# Each asked (tag, type) by its ordinal, in order of position.
_BOUNDARY = """
SELECT a.ordinal, e.position, e.entry
FROM unnest($1::text[], $2::smallint[]) WITH ORDINALITY a(tag, type, ordinal)
JOIN log.tag t ON t.tag = a.tag AND t.type = a.type
JOIN log.event e ON e.position = t.position
ORDER BY e.position
"""

_REFERENCE = """
SELECT e.position, y.name, e.entry
FROM unnest($1::smallint[]) a(type)
JOIN log.tag t ON t.tag = $2 AND t.type = a.type AND t.position > $3
JOIN log.event e ON e.position = t.position
JOIN log.type y ON y.id = t.type
ORDER BY e.position
"""

_PUT = "SELECT log.put($1, $2, $3, $4, $5, $6, $7, $8)"

_NAME_TYPES = "INSERT INTO log.type (name) SELECT unnest($1::text[]) ON CONFLICT (name) DO NOTHING"


class HeadMoved(Exception):
    """Another writer appended although this one held the lock: the lock was lost with its session."""


class Transactor:
    """Runs groups on one connection, and remembers the reference up to the head it has seen."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._reference_head = 0
        self._type_ids: dict[str, int] = {}
        self._began_at: datetime | None = None

    async def prepare(self, connection: asyncpg.Connection) -> None:
        """Learn the types' numbers, and give one to each new type. Statements are prepared on first use."""
        await connection.execute(_NAME_TYPES, sorted(FACTS))
        self._type_ids = {name: id_ for id_, name in await connection.fetch("SELECT id, name FROM log.type")}

    async def run(self, connection: asyncpg.Connection, units: Sequence[Unit]) -> list[list[Outcome] | Problem]:
        """Decide and record a group: outcomes for each unit. Nothing of it is recorded when this raises,
        unless the connection was lost: then everything or nothing of it is."""
        await connection.execute(_BEGIN)
        try:
            group = await self._look(connection, units)
            outcomes = await group.decide(units)
            if group.appends:
                head = await connection.fetchval(_PUT, *group.columns(self._type_ids))
                if head < 0:
                    raise HeadMoved(f"expected head {group.head}, found {-1 - head}")
        except BaseException:
            connection.terminate()  # whatever state it is in: the server rolls back, and gives up the lock
            raise
        await connection.execute("COMMIT")
        self._reference, self._reference_head = group.reference, group.head + len(group.appends)
        return outcomes

    async def _look(self, connection: asyncpg.Connection, units: Sequence[Unit]) -> Group:
        """What deciding needs to know. The lock is held, so it stays true until the commit."""
        row = await connection.fetchrow(_HEAD)
        head, recorded_at = (0, datetime.min.replace(tzinfo=UTC)) if row is None else row
        now = datetime.now(UTC)
        if recorded_at - now > CLOCK_SKEW_MAX:
            raise Unavailable(
                f"The last fact was recorded at {recorded_at.isoformat()}, ahead of this writer's clock.",
                retry_after_s=5,
                recorded_at=recorded_at,
            )
        if head > self._reference_head:
            await self._catch_up(connection, head)
        keys = [proposal.key for unit in units for proposal in unit.proposals]
        return Group(
            head=head,
            recorded_at=max(now, recorded_at),
            began_at=await self._beginning(connection) or now,
            reference=self._reference,
            receipts={
                key: Receipt(content, Recorded(position, name, entry, repeated=True))
                for key, content, position, name, entry in await connection.fetch(_RECEIPTS, keys)
            },
            boundary=Boundary(lambda wanted: self._fetch(connection, wanted)),
        )

    async def _beginning(self, connection: asyncpg.Connection) -> datetime | None:
        if self._began_at is None:
            self._began_at = await connection.fetchval("SELECT recorded_at FROM log.event WHERE position = 1")
        return self._began_at

    async def _catch_up(self, connection: asyncpg.Connection, head: int) -> None:
        types = [self._type_ids[fact_type.type_name()] for fact_type in self._reference.types]
        rows = await connection.fetch(_REFERENCE, types, REFERENCE, self._reference_head)
        if rows:
            facts = [(position, decode(entry, name).data) for position, name, entry in rows]
            self._reference = self._reference.folded(facts)
        self._reference_head = head

    async def _fetch(self, connection: asyncpg.Connection, wanted: Sequence[Key]) -> Iterable[tuple[Key, Placed]]:
        names = [fact_type.type_name() for _, fact_type in wanted]
        rows: list[Any] = await connection.fetch(
            _BOUNDARY, [tag for tag, _ in wanted], [self._type_ids[name] for name in names]
        )
        return [
            (wanted[ordinal - 1], (position, _fact(entry, names[ordinal - 1]))) for ordinal, position, entry in rows
        ]


def _fact(entry: bytes, name: str) -> Fact:
    return decode(entry, name).data
