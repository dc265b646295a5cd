"""The group transaction: look, decide, put. One connection, used by one group at a time.

Trusting: what this writer knows is still all there is, what should be new is new, and nothing is a repeat. `log.put`
finds out, and writes only if all of it is so; where a command is refused, nobody would find out. A group that trusts
may be decided on top of another one that is still being put.
Looking: what is read in one snapshot is decided without any lock, and `log.put` writes it only if the head is still the
one that was seen. After a miss some groups run behind the lock, so that nobody starves among busy writers.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import asyncpg

from contracts.envelope import decode
from contracts.facts import FACTS
from contracts.facts.fact import REFERENCE
from contracts.problems import Problem, Unavailable
from contracts.unchecked import fact_of
from services.log.boundary import BITS, Boundary, Folded, Wanted
from services.log.group import Doubt, Group, Known, Load, Receipt
from services.log.proposal import Circumstances, Outcome, Placed, Recorded, Reference, Unit
from services.log.reader import RECORDED_WITHIN

CLOCK_SKEW_MAX = timedelta(seconds=60)
"""How far the last recorded time may lie before this writer's clock."""

LOCKED_AFTER_A_MISS = 16
"""Groups that run behind the lock once another writer came between: where there was one there are more."""

LOOKING_AFTER_A_MISS = 64
"""Groups that look first, once one that did not has missed what another writer appended."""

CACHED_FACTS_MAX = 400_000
"""Facts, tags, and facts whose outcome is kept, from group to group: about 200 megabytes at most."""

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

# $1: keys, $2: tags, $3: for each tag the types wanted, as the sum of 2 ^ type.
# What a group needs to know, of one snapshot. First the head (what 0), then the receipts under the keys (what 1), then
# the events of the tags (what 2) by the tag's ordinal.
_LOOK = """
(SELECT 0 AS what, 0::bigint AS ordinal, position, recorded_at, type, NULL::bytea AS key, NULL::bytea AS content,
        NULL::bytea AS entry
 FROM log.event ORDER BY position DESC LIMIT 1)
UNION ALL
SELECT 1, 0, e.position, NULL, e.type, e.key, e.content, e.entry
FROM unnest($1::bytea[]) k(key) JOIN log.event e ON e.key = k.key
UNION ALL
SELECT 2, a.ordinal, e.position, NULL, e.type, NULL, NULL, e.entry
FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY a(tag, types, ordinal)
JOIN log.tag t ON t.tag = a.tag AND (a.types >> t.type) & 1 = 1
JOIN log.event e ON e.position = t.position
"""

# $1: the tag, $2: types as above, $3: after which position, $4: up to which.
_REFERENCE = """
SELECT e.position, e.type, e.entry
FROM log.tag t JOIN log.event e ON e.position = t.position
WHERE t.tag = $1 AND ($2::bigint >> t.type) & 1 = 1 AND t.position > $3 AND t.position <= $4
ORDER BY e.position
"""

_BEGINNING = "SELECT recorded_at FROM log.event WHERE position = 1"

# $7: the tags, a line each: as an array they would cost the caller more. $9: how old the recorded time may be.
_PUT = "SELECT log.put($1, $2, $3, $4, $5, $6, string_to_array($7, E'\\n'), $8, $9)"

# $10: tags, a line each. Null, and nothing is put, when one of them is used. The snapshot is older than the lock, but
# not older than the head that is expected.
_PUT_IF_UNUSED = """
SELECT CASE WHEN EXISTS (
    SELECT FROM unnest(string_to_array($10, E'\\n')) unused (tag) JOIN log.tag t ON t.tag = unused.tag
) THEN NULL ELSE log.put($1, $2, $3, $4, $5, $6, string_to_array($7, E'\\n'), $8, $9) END
"""

# A name that is known is passed over before it draws a number: those of all types must stay below 63.
NAME_TYPES = """
INSERT INTO log.type (name)
SELECT name FROM unnest($1::text[]) new (name) WHERE name NOT IN (SELECT name FROM log.type)
ON CONFLICT (name) DO NOTHING
"""


class HeadMoved(Exception):
    """Another writer appended since this one looked, or may have: it was stopped meanwhile. Nothing was written."""


class Seen(NamedTuple):
    """What one look found, all of one snapshot. Events by the tag that was asked for, in order of position."""

    head: int
    recorded_at: datetime
    receipts: dict[bytes, Receipt]
    events: list[tuple[str, Placed]]


class Transactor:
    """Runs groups on one connection, and remembers what it knows of the log."""

    def __init__(self, reference: Reference) -> None:
        self._recorded = Known(0, datetime.min.replace(tzinfo=UTC), None, reference)
        self._expected = self._recorded
        """What is known once all groups that are being put are recorded."""
        self._boundary = Boundary()
        self._looking_groups = 1
        self._locked_groups = 0
        self._type_names: dict[int, str] = {}
        self._type_ids: dict[str, int] = {}
        self._type_masks: dict[int, int] = {}

    async def prepare(self, connection: asyncpg.Connection) -> None:
        """Learn the types' numbers, and give one to each new type. Statements are prepared on first use.

        What was last put on another connection is in doubt: the first group looks.
        """
        self._looking_groups = max(1, self._looking_groups)
        names = sorted(name for fact_type in FACTS.values() for name in fact_type.wire_names())
        await connection.execute(NAME_TYPES, names)
        rows = await connection.fetch("SELECT id, name FROM log.type")
        self._type_names = {row["id"]: row["name"] for row in rows}
        self._type_ids = {name: id_ for id_, name in self._type_names.items()}
        self._type_masks.clear()
        assert max(self._type_names) < 63, "types are numbered within a bigint's bits"

    @property
    def trusts(self) -> bool:
        """Whether the next group need not look."""
        return self._looking_groups == self._locked_groups == 0

    def trusting(self) -> Group | None:
        """A group to decide on what is known, behind those that are being put; None where the log must be looked at."""
        known, now = self._expected, datetime.now(UTC)
        if not self.trusts:
            return None
        if known.began_at is None or known.recorded_at - now > CLOCK_SKEW_MAX:
            return None  # an empty log, or the clock was put back
        layer = self._boundary.begin(assuming=True)
        recorded_at = max(now, known.recorded_at)
        return Group(known.head, recorded_at, known.began_at, known.reference, {}, self._boundary, layer)

    async def decide(self, group: Group, units: Sequence[Unit], load: Load) -> list[list[Outcome] | Problem]:
        """Decide units in a group that trusts; it may be called again before the group is put.

        load: as `Group.decide` says. Raises Doubt where the log must be looked at before these units are answered: then
        none of them is in the group.
        """
        try:
            outcomes = await group.decide(units, load)
        except HeadMoved as moved:
            self._look_for(LOOKING_AFTER_A_MISS)
            raise Doubt(str(moved)) from moved
        except Doubt:
            self._look_for(sum(len(unit.proposals) for unit in units))
            raise
        self._expected = group.known()
        return outcomes

    async def put(self, connection: asyncpg.Connection, group: Group) -> None:
        """Record a group that trusts. Raises Doubt, or whatever the database raises, when it is not recorded or that
        is not known; then what was decided since is not so, and `forget` must be called."""
        if group.appends:
            columns, assumed = group.columns(self._type_ids), "\n".join(group.layer.assumed)
            try:
                head = await connection.fetchval(_PUT_IF_UNUSED, *columns, RECORDED_WITHIN, assumed)
            except asyncpg.UniqueViolationError as repeat:
                self._look_for(len(group.appends))
                raise Doubt("a command is repeated") from repeat
            if head is None:
                self._look_for(len(group.appends))
                raise Doubt("a tag is used")
            if head < 0:
                if (found := -1 - head) != group.head:  # otherwise it came too late
                    self._look_for(LOOKING_AFTER_A_MISS)
                raise Doubt(f"expected head {group.head}, found {found}")
        self._recorded = group.known()
        self._boundary.keep(group.layer, CACHED_FACTS_MAX)

    def forget(self) -> None:
        """A group was not put as it was decided: nothing that is not recorded is known, and the next one looks."""
        self._boundary.forget()
        self._expected = self._recorded
        self._look_for(1)

    def _look_for(self, groups: int) -> None:
        """As many groups as one had proposals of which one was refused or repeated: so often it will be so again."""
        self._looking_groups = max(self._looking_groups, groups)

    async def run(self, connection: asyncpg.Connection, units: Sequence[Unit]) -> list[list[Outcome] | Problem]:
        """Look, decide and record a group: outcomes for each unit, of the first ones if not all fit into a group.

        Not while a group that trusts is being put. When this raises nothing of the group is recorded, unless the
        connection was lost: then all or nothing is.
        """
        self._looking_groups = max(0, self._looking_groups - 1)
        if self._locked_groups == 0:
            try:
                return self._known(*await self._decide_and_put(connection, units, RECORDED_WITHIN))
            except HeadMoved:
                self._locked_groups = LOCKED_AFTER_A_MISS
        await connection.execute(_BEGIN)
        group, outcomes = await self._decide_and_put(connection, units, None)
        await connection.execute("COMMIT")
        self._locked_groups -= 1
        return self._known(group, outcomes)

    def _known(self, group: Group, outcomes: list[list[Outcome] | Problem]) -> list[list[Outcome] | Problem]:
        """The group is committed: what it knew and decided is what the next one begins with."""
        self._recorded = self._expected = group.known()
        self._boundary = group.boundary
        self._boundary.keep(group.layer, CACHED_FACTS_MAX)
        return outcomes

    async def _decide_and_put(
        self, connection: asyncpg.Connection, units: Sequence[Unit], recorded_within: timedelta | None
    ) -> tuple[Group, list[list[Outcome] | Problem]]:
        group = await self._look(connection, units)
        outcomes = await group.decide(units, partial(self.load, connection, group))
        if group.appends:
            head = await connection.fetchval(_PUT, *group.columns(self._type_ids), recorded_within)
            if head < 0:
                raise HeadMoved(f"expected head {group.head}, found {-1 - head}")
        return group, outcomes

    async def _look(self, connection: asyncpg.Connection, units: Sequence[Unit]) -> Group:
        """What deciding needs to know, as far as it can be told before deciding."""
        boundary, self._boundary = self._boundary, Boundary()  # kept again once the group is committed
        boundary.forget()
        layer = boundary.begin(assuming=False)
        known, now = self._recorded, datetime.now(UTC)
        guess = Circumstances(max(now, known.recorded_at), known.began_at or now, known.reference)
        proposals = [proposal for unit in units for proposal in unit.proposals]
        folded: dict[int, Folded] = {}
        wanted = boundary.prefetch({id(p): partial(p.decide, guess) for p in proposals}, folded)
        head, recorded_at, receipts, events = await self._read(connection, [p.key for p in proposals], wanted)
        if head != known.head:  # another writer appended: nothing that is known is sure any more
            boundary, folded = Boundary(), {}
            layer = boundary.begin(assuming=False)
        boundary.load(wanted, events)
        if recorded_at - now > CLOCK_SKEW_MAX:
            raise Unavailable(
                f"The last fact was recorded at {recorded_at.isoformat()}, ahead of this writer's clock.",
                retry_after_s=5,
                recorded_at=recorded_at,
            )
        if head < known.head:
            raise Unavailable(
                f"The log ends at {head}, before position {known.head} that was seen: history was lost.",
                retry_after_s=60,
                position=head,
            )
        began_at = known.began_at or await connection.fetchval(_BEGINNING)
        reference = await self._reference(connection, head)
        self._recorded = self._expected = Known(head, recorded_at, began_at, reference)
        found = Circumstances(max(now, recorded_at), began_at or now, reference)
        return Group(head, *found, receipts, boundary, layer, folded if found == guess else {})

    async def load(self, connection: asyncpg.Connection, group: Group, wanted: Wanted) -> None:
        """Read more for a group, on any connection: whether the groups before it are recorded by then or not.

        Raises HeadMoved when the log is not what it was decided on, Doubt when that will not be.
        """
        heads = self._recorded.head, group.head
        with group.boundary.reading():
            seen = await self._read(connection, [], wanted)
            if group.layer.forgotten:
                raise Doubt("a group before this one was not recorded as it was decided")
            if seen.head not in heads:
                raise HeadMoved(f"expected head {group.head}, found {seen.head}")
            group.boundary.load(wanted, seen.events)

    async def _read(self, connection: asyncpg.Connection, keys: Sequence[bytes], wanted: Wanted) -> Seen:
        """One look at the log, in one statement."""
        head, recorded_at = 0, self._recorded.recorded_at
        receipts: dict[bytes, Receipt] = {}
        events: list[tuple[str, Placed]] = []
        tags = list(wanted)
        rows: list[Any] = await connection.fetch(_LOOK, keys, tags, [self._mask(bits) for bits in wanted.values()])
        for what, ordinal, position, at, type_id, key, content, entry in rows:
            if what == 2:
                events.append((tags[ordinal - 1], Placed(position, fact_of(entry, self._type_names[type_id]))))
            elif what == 1:
                receipts[key] = Receipt(content, Recorded(position, self._type_names[type_id], entry, repeated=True))
            else:
                head, recorded_at = position, at
        events.sort(key=lambda found: found[1].position)
        return Seen(head, recorded_at, receipts, events)

    async def _reference(self, connection: asyncpg.Connection, head: int) -> Reference:
        """With what came to it up to the head."""
        known = self._recorded
        if head == known.head:
            return known.reference
        mask = sum(self._mask(BITS[fact_type]) for fact_type in known.reference.types)
        rows = await connection.fetch(_REFERENCE, REFERENCE, mask, known.head, head)
        facts = [(position, decode(entry, self._type_names[type_id]).data) for position, type_id, entry in rows]
        return known.reference.folded(facts) if facts else known.reference

    def _mask(self, bits: int) -> int:
        """The stored types that these types of facts have, all their versions, as the sum of 2 ^ type."""
        mask = self._type_masks.get(bits)
        if mask is None:
            names = (n for fact_type in FACTS.values() if BITS[fact_type] & bits for n in fact_type.wire_names())
            mask = self._type_masks[bits] = sum(1 << self._type_ids[name] for name in names)
        return mask
