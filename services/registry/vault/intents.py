"""Changes of registered persons: intent → fact → effect. A crash between any two of them is finished by a sweeper.

The intent is a row whose fact_id is the CloudEvent id of its fact, so recording it again is a repeat (I1). The effect
takes the row away in its own transaction, so it happens once.
"""

import hashlib
import uuid
from collections.abc import Sequence
from typing import Literal, NamedTuple, Self, TypeAlias

import asyncpg
import msgspec

from contracts.envelope import REGISTRY_SOURCE, Envelope
from contracts.facts import Part
from contracts.problems import Problem
from contracts.refusals import Refusal
from services.log.proposal import Proposal, Recorded
from services.log.writer import LogWriter
from services.registry.domain.persons import PersonsToMerge, PersonToErase, PersonToRectify
from services.registry.proposals import propose

Kind = Literal["RECTIFY", "MERGE", "ERASE"]

Connection: TypeAlias = "asyncpg.Connection | asyncpg.pool.PoolConnectionProxy"

_INTEND = """
INSERT INTO vault.intent
    (fact_id, kind, person_id, merged_id, fingerprint, nir_fingerprint, commitment, sealed, wrapped_key, requested_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""

# $1: persons, $2: fingerprints. Intents that are about any of them, oldest first.
_ABOUT = """
SELECT * FROM vault.intent
WHERE person_id = ANY($1::uuid[]) OR merged_id = ANY($1::uuid[]) OR fingerprint = ANY($2::bytea[])
ORDER BY requested_at
"""

_UNFINISHED = """
SELECT * FROM vault.intent WHERE requested_at < now() - $1 * interval '1 second' ORDER BY requested_at LIMIT 100
"""

_TAKE = "DELETE FROM vault.intent WHERE fact_id = $1 RETURNING fact_id"

_RECTIFY = """
UPDATE vault.person SET fingerprint = $2, nir_fingerprint = $3, commitment = $4, sealed = $5, wrapped_key = $6
WHERE person_id = $1
"""

_MERGE = "UPDATE vault.person SET kept_id = $1 WHERE person_id = $2 OR kept_id = $2"

# The person under all its ids: nothing that names anybody stays, only that they were erased.
_ERASE = """
WITH gone AS (DELETE FROM vault.person WHERE person_id = $1 OR kept_id = $1 RETURNING person_id)
INSERT INTO vault.erasure (person_id, fact_id) SELECT person_id, $2 FROM gone ON CONFLICT DO NOTHING
"""


class Intent(NamedTuple):
    """A row of `vault.intent`."""

    fact_id: uuid.UUID
    kind: Kind
    person_id: uuid.UUID
    merged_id: uuid.UUID | None
    fingerprint: bytes | None
    nir_fingerprint: bytes | None
    commitment: bytes | None
    sealed: bytes | None
    wrapped_key: bytes | None
    requested_by: str

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        return cls(*(row[column] for column in cls._fields))

    def command(self) -> Part:
        match self.kind:
            case "RECTIFY":
                assert self.commitment is not None
                return PersonToRectify(person_id=str(self.person_id), identity_commitment=self.commitment.hex())
            case "MERGE":
                return PersonsToMerge(kept_id=str(self.person_id), merged_id=str(self.merged_id))
            case "ERASE":
                return PersonToErase(person_id=str(self.person_id))


def registry_proposal(command: Part, fact_id: uuid.UUID, requested_by: str) -> Proposal:
    """The proposal of a fact that the registry makes at the request of a system."""
    envelope = Envelope(id=str(fact_id), source=REGISTRY_SOURCE, authid=requested_by, authtype="system")
    return propose(command, envelope, hashlib.sha256(msgspec.json.encode(command, order="sorted")).digest())


class Intents:
    """Keeps intents and brings them to their end."""

    def __init__(self, pool: asyncpg.Pool, log: LogWriter) -> None:
        self._pool = pool
        self._log = log

    async def keep(self, connection: Connection, intent: Intent) -> None:
        """Write the intent, in the caller's transaction."""
        await connection.execute(_INTEND, *intent)

    async def finish(self, intent: Intent) -> Recorded:
        """Record the intent's fact and let it have its effect. A refused one leaves nothing; its refusal is raised."""
        try:
            recorded = await self._log.append_one(
                registry_proposal(intent.command(), intent.fact_id, intent.requested_by)
            )
        except Refusal:
            await self._pool.execute(_TAKE, intent.fact_id)
            raise
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(_TAKE, intent.fact_id) is not None:
                await _effect(connection, intent)
        return recorded

    async def under_way(
        self, connection: Connection, person_ids: Sequence[uuid.UUID], fingerprints: Sequence[bytes]
    ) -> bool:
        """Whether something is under way about these persons and identities, as the caller's transaction sees it."""
        return bool(await connection.fetch(_ABOUT, person_ids, fingerprints))

    async def settle(self, person_ids: Sequence[uuid.UUID], fingerprints: Sequence[bytes]) -> None:
        """Finish what is under way about these persons and identities."""
        await self._finish_all([Intent.of(row) for row in await self._pool.fetch(_ABOUT, person_ids, fingerprints)])

    async def sweep(self, older_than_s: float) -> int:
        """Finish what a crash left behind; how many there were, at most 100."""
        intents = [Intent.of(row) for row in await self._pool.fetch(_UNFINISHED, older_than_s)]
        await self._finish_all(intents)
        return len(intents)

    async def _finish_all(self, intents: Sequence[Intent]) -> None:
        for intent in intents:
            try:
                await self.finish(intent)
            except Problem as problem:
                if not isinstance(problem, Refusal):
                    raise


async def _effect(connection: Connection, intent: Intent) -> None:
    match intent.kind:
        case "RECTIFY":
            await connection.execute(
                _RECTIFY,
                intent.person_id,
                intent.fingerprint,
                intent.nir_fingerprint,
                intent.commitment,
                intent.sealed,
                intent.wrapped_key,
            )
        case "MERGE":
            await connection.execute(_MERGE, intent.person_id, intent.merged_id)
        case "ERASE":
            await connection.execute(_ERASE, intent.person_id, intent.fact_id)
