"""The vault after a restore: the log's facts of persons have their effects again, before anybody is served.

A vault restored from an older backup knows identities that were erased since, persons that were merged since, and lacks
those registered since. The log knows all of it but the identities. `vault.replayed` says up to which position the vault
has followed the log, so that a start reads only what came since.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from contracts.envelope import StoredEvent
from contracts.facts import Fact, PersonErased, PersonRectified, PersonRegistered, PersonsMerged
from contracts.problems import Unavailable
from services.log.reader import LogReader
from services.registry.vault import effects
from services.registry.vault.keys_in_use import Connection

POSITIONS_MAX = 10_000
"""A step: its facts have their effects in one transaction."""

FACTS = (PersonRegistered, PersonRectified, PersonsMerged, PersonErased)

_POSITION = "SELECT position FROM vault.replayed"
_MOVE = "UPDATE vault.replayed SET position = $2 WHERE position = $1 RETURNING position"

# What the vault has of persons whose facts are in the log: their row, or that they are erased, or nothing: then a row
# without identity stands for them. Returns the latter.
_REGISTERED = """
WITH registered AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[])
        AS given (person_id, fact_id, commitment, requested_by)
), known AS (
    UPDATE vault.person p SET recorded = true FROM registered r WHERE p.person_id = r.person_id AND NOT p.recorded
)
INSERT INTO vault.person (person_id, fact_id, commitment, requested_by, recorded)
SELECT person_id, fact_id, commitment, requested_by, true FROM registered r
WHERE NOT EXISTS (SELECT FROM vault.person p WHERE p.person_id = r.person_id)
    AND NOT EXISTS (SELECT FROM vault.erasure e WHERE e.person_id = r.person_id)
RETURNING person_id
"""

# Whose identity is older than their last rectification, whose effect is not under way either.
_OUTDATED = """
SELECT count(*) FROM unnest($1::uuid[], $2::bytea[]) last (person_id, commitment)
JOIN vault.person p USING (person_id)
WHERE p.commitment <> last.commitment AND NOT EXISTS (SELECT FROM vault.intent i WHERE i.person_id = last.person_id)
"""


class LogBehind(Unavailable):
    """The log ends before a position whose facts the vault has followed: erasures may be among what is missing."""


@dataclass
class Replayed:
    """What following the log has changed. lost: persons whose identity the vault does not have. outdated: those whose
    identity was put right after the backup, and is the one before again."""

    lost: int = 0
    outdated: int = 0


async def replay(pool: asyncpg.Pool, reader: LogReader, *, positions_max: int = POSITIONS_MAX) -> Replayed:
    """Let the facts that the vault has not followed yet have their effects. Any number of processes may do so at once.

    Raises LogBehind.
    """
    done, rectified = Replayed(), dict[uuid.UUID, bytes]()
    head = await reader.head()
    while (position := await pool.fetchval(_POSITION)) < head:
        until = min(position + positions_max, head)
        names = [name for fact in FACTS for name in fact.wire_names()]
        entries = await reader.page(position, limit=positions_max, until=until, types=names)
        events = [entry.event() for entry in entries]
        async with pool.acquire() as connection, connection.transaction():
            await effects.take_turn(connection)
            if await connection.fetchval(_MOVE, position, until) is None:
                continue  # another process has
            done.lost += await _step(connection, events)
        for event in events:
            if isinstance(fact := event.data, PersonRectified):
                rectified[uuid.UUID(fact.person_id)] = bytes.fromhex(fact.identity_commitment)
    if position > head:
        raise LogBehind(
            f"The log ends at position {head}, the vault has followed it to {position}: restore what the log lacks.",
            retry_after_s=60,
        )
    if rectified:
        done.outdated = await pool.fetchval(_OUTDATED, list(rectified), list(rectified.values()))
    return done


async def _step(connection: Connection, events: Sequence[StoredEvent[Fact]]) -> int:
    """The effects of some events in order; how many persons the vault does not know. A registration comes before all
    else of its person, so all registrations go first."""
    registered = [
        (uuid.UUID(fact.person_id), uuid.UUID(event.id), bytes.fromhex(fact.identity_commitment), event.authid)
        for event in events
        if isinstance(fact := event.data, PersonRegistered)
    ]
    lost = await connection.fetch(_REGISTERED, *map(list, zip(*registered, strict=True))) if registered else []
    for event in events:
        match event.data:
            case PersonsMerged(kept_id=kept_id, merged_id=merged_id):
                await effects.merged(connection, uuid.UUID(kept_id), uuid.UUID(merged_id))
            case PersonErased(person_id=person_id):
                await effects.erased(connection, uuid.UUID(person_id), uuid.UUID(event.id))
    return len(lost)
