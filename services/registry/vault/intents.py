"""Changes of registered persons: intent → fact → effect. A crash between any two of them is finished by a sweeper.

The intent is a row whose fact_id is the CloudEvent id of its fact, so recording it again is a repeat (I1). The effect
takes the row away in its own transaction, so it happens once.
"""

import hashlib
import uuid
from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

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
from services.registry.vault import effects
from services.registry.vault.keys_in_use import Connection, KeysInUse, holding_keys
from services.registry.vault.ring import KeyRing

Kind = Literal["RECTIFY", "MERGE", "ERASE"]

_INTEND = """
INSERT INTO vault.intent
    (fact_id, kind, person_id, requested_by, merged_id, fingerprints, names_nir, commitment, sealed, wrapped_key,
     wrapped_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""

# $1: persons, $2: fingerprints. Intents that are about any of them, oldest first.
_ABOUT = """
SELECT * FROM vault.intent
WHERE person_id = ANY($1::uuid[]) OR merged_id = ANY($1::uuid[]) OR fingerprints && $2::bytea[]
ORDER BY requested_at
"""

_UNFINISHED = """
SELECT * FROM vault.intent WHERE requested_at < now() - $1 * interval '1 second' ORDER BY requested_at LIMIT 100
"""

_TAKE = "DELETE FROM vault.intent WHERE fact_id = $1 RETURNING *"


class UnderWay(Exception):
    """A change about these persons or identities has begun and not ended: `Intents.settle` ends it."""

    def __init__(self, intents: "Sequence[Intent]") -> None:
        super().__init__(f"{len(intents)} changes are under way")
        self.intents = intents


class Intent(NamedTuple):
    """A row of `vault.intent`."""

    fact_id: uuid.UUID
    kind: Kind
    person_id: uuid.UUID
    requested_by: str
    merged_id: uuid.UUID | None = None
    fingerprints: Sequence[bytes] = ()
    names_nir: bool = False
    commitment: bytes | None = None
    sealed: bytes | None = None
    wrapped_key: bytes | None = None
    wrapped_by: str = ""

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

    def __init__(self, pool: asyncpg.Pool, ring: KeyRing, log: LogWriter) -> None:
        self._pool = pool
        self._ring = ring
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
        async with holding_keys(self._pool, self._ring) as (connection, keys):
            await effects.take_turn(connection)
            taken = await connection.fetchrow(_TAKE, intent.fact_id)
            if taken is not None:
                await _effect(connection, keys, taken)
        return recorded

    async def about(
        self, connection: "Connection | asyncpg.Pool", person_ids: Sequence[uuid.UUID], fingerprints: Sequence[bytes]
    ) -> list[Intent]:
        """What is under way about these persons and identities, as this transaction sees it."""
        return [Intent.of(row) for row in await connection.fetch(_ABOUT, person_ids, fingerprints)]

    async def none_under_way(
        self, connection: Connection, person_ids: Sequence[uuid.UUID], fingerprints: Sequence[bytes]
    ) -> None:
        """Raise UnderWay for what is under way about these persons and identities, as this transaction sees it."""
        if intents := await self.about(connection, person_ids, fingerprints):
            raise UnderWay(intents)

    async def settle(self, intents: Sequence[Intent]) -> None:
        """Finish what is under way."""
        for intent in intents:
            try:
                await self.finish(intent)
            except Problem as problem:
                if not isinstance(problem, Refusal):
                    raise

    async def sweep(self, older_than_s: float) -> int:
        """Finish what a crash left behind; how many there were, at most 100."""
        intents = [Intent.of(row) for row in await self._pool.fetch(_UNFINISHED, older_than_s)]
        await self.settle(intents)
        return len(intents)


async def _effect(connection: Connection, keys: KeysInUse, taken: asyncpg.Record) -> None:
    match taken["kind"]:
        case "RECTIFY":
            await effects.rectified(connection, keys, taken)
        case "MERGE":
            await effects.merged(connection, taken["person_id"], taken["merged_id"])
        case "ERASE":
            await effects.erased(connection, taken["person_id"], taken["fact_id"])
