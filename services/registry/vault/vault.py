"""Who is who. Each registration of a person is intent → fact → effect, and every step may be repeated.

The intent is a row whose fact_id is the CloudEvent id of the fact, so that recording it again is a repeat (I1).
"""

import hashlib
import os
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg
import msgspec

from contracts.envelope import REGISTRY_SOURCE, Envelope
from contracts.problems import Problem
from services.log.proposal import Proposal
from services.log.writer import LogWriter
from services.registry.domain.persons import PersonToRegister
from services.registry.proposals import propose
from services.registry.vault.identity import Identity, civil_identity, nir_digits
from services.registry.vault.keys import KEY_BYTES, VaultKeys, commitment

# One lock for each fingerprint of a post, in one order for all posts: two posts of one identity meet here.
_LOCK = "SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) k"

_KNOWN = """
SELECT fingerprint, nir_fingerprint, person_id, fact_id, commitment, requested_by, recorded
FROM vault.person WHERE fingerprint = ANY($1::bytea[]) ORDER BY requested_at, person_id
"""

_INTEND = """
INSERT INTO vault.person
    (person_id, fingerprint, nir_fingerprint, fact_id, commitment, sealed, wrapped_key, requested_by)
SELECT * FROM unnest(
    $1::uuid[], $2::bytea[], $3::bytea[], $4::uuid[], $5::bytea[], $6::bytea[], $7::bytea[], $8::text[]
)
"""

_RECORDED = "UPDATE vault.person SET recorded = true WHERE person_id = ANY($1::uuid[]) AND NOT recorded"

_UNFINISHED = """
SELECT fingerprint, nir_fingerprint, person_id, fact_id, commitment, requested_by, recorded
FROM vault.person WHERE NOT recorded AND requested_at < now() - $1 * interval '1 second'
ORDER BY requested_at LIMIT 1000
"""

_IDENTITY = "SELECT sealed, wrapped_key FROM vault.person WHERE person_id = $1 AND recorded"


class Intent(NamedTuple):
    """A row of the vault, and what its fact says."""

    fingerprint: bytes
    nir_fingerprint: bytes | None
    person_id: uuid.UUID
    fact_id: uuid.UUID
    commitment: bytes
    requested_by: str
    recorded: bool

    def same_person(self, nir_fingerprint: bytes | None) -> bool:
        """Two different NIR are two persons, whatever their civil identity."""
        return nir_fingerprint is None or self.nir_fingerprint in (None, nir_fingerprint)


class Sealed(NamedTuple):
    """An intent with the identity, encrypted."""

    intent: Intent
    sealed: bytes
    wrapped_key: bytes

    def columns(self) -> tuple[Any, ...]:
        i = self.intent
        return (
            i.person_id,
            i.fingerprint,
            i.nir_fingerprint,
            i.fact_id,
            i.commitment,
            self.sealed,
            self.wrapped_key,
            i.requested_by,
        )


class Registered(NamedTuple):
    """The person of an identity. `new`: registered by this very post."""

    person_id: str
    new: bool


class Vault:
    """Registers persons, and tells who they are."""

    def __init__(self, pool: asyncpg.Pool, keys: VaultKeys, log: LogWriter) -> None:
        self._pool = pool
        self._keys = keys
        self._log = log

    async def register(self, identities: Sequence[Identity], requested_by: str) -> list[Registered]:
        """The persons of identities, in order: those known already under their id, the others newly registered.

        requested_by: the client_id of the caller, a system. When this returns, all of them are in the log.
        """
        found = await self._intend(identities, requested_by)
        await self._record([intent for intent, _ in found])
        return [Registered(str(intent.person_id), new) for intent, new in found]

    async def identity(self, person_id: str) -> Identity | None:
        """The identity of a registered person, None for an unknown one."""
        row = await self._pool.fetchrow(_IDENTITY, uuid.UUID(person_id))
        if row is None:
            return None
        content = self._keys.open(person_id, row["sealed"], row["wrapped_key"])
        return msgspec.json.decode(content[KEY_BYTES:], type=Identity)

    async def finish(self, older_than_s: float) -> int:
        """Record the facts of intents that a crash left behind; how many there were, at most 1000."""
        intents = [Intent(*row) for row in await self._pool.fetch(_UNFINISHED, older_than_s)]
        await self._record(intents)
        return len(intents)

    async def _intend(self, identities: Sequence[Identity], requested_by: str) -> list[tuple[Intent, bool]]:
        """Find or make the intents of identities: each with whether it is new."""
        prints = [self._fingerprints(identity) for identity in identities]
        locks = sorted({int.from_bytes(fingerprint[:8], signed=True) for fingerprint, _ in prints})
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK, locks)
            known: dict[bytes, list[Intent]] = {}
            for row in await connection.fetch(_KNOWN, [fingerprint for fingerprint, _ in prints]):
                known.setdefault(row["fingerprint"], []).append(Intent(*row))
            found: list[tuple[Intent, bool]] = []
            new: list[Sealed] = []
            for identity, (fingerprint, nir_fingerprint) in zip(identities, prints, strict=True):
                persons = known.setdefault(fingerprint, [])
                same = [intent for intent in persons if intent.same_person(nir_fingerprint)]
                exact = [intent for intent in same if intent.nir_fingerprint == nir_fingerprint]
                if same:
                    found.append(((exact or same)[0], False))
                else:
                    new.append(self._seal(identity, fingerprint, nir_fingerprint, requested_by))
                    persons.append(new[-1].intent)
                    found.append((new[-1].intent, True))
            if new:
                await connection.execute(_INTEND, *map(list, zip(*(s.columns() for s in new), strict=True)))
        return found

    def _fingerprints(self, identity: Identity) -> tuple[bytes, bytes | None]:
        nir = nir_digits(identity)
        return (
            self._keys.fingerprint(b"civil identity", civil_identity(identity)),
            None if nir is None else self._keys.fingerprint(b"nir", nir),
        )

    def _seal(self, identity: Identity, fingerprint: bytes, nir_fingerprint: bytes | None, requested_by: str) -> Sealed:
        person_id, salt = uuid.uuid4(), os.urandom(KEY_BYTES)
        content = msgspec.json.encode(identity, order="sorted")
        sealed, wrapped_key = self._keys.seal(str(person_id), salt + content)
        intent = Intent(
            fingerprint,
            nir_fingerprint,
            person_id,
            uuid.uuid4(),
            commitment(salt, content),
            requested_by,
            recorded=False,
        )
        return Sealed(intent, sealed, wrapped_key)

    async def _record(self, intents: Sequence[Intent]) -> None:
        """Record the facts of intents that are not known to be recorded, then say so in their rows."""
        waiting = list({intent.person_id: intent for intent in intents if not intent.recorded}.values())
        if not waiting:
            return
        for outcome in await self._log.append([_proposal(intent) for intent in waiting]):
            if isinstance(outcome, Problem):
                raise outcome
        await self._pool.execute(_RECORDED, [intent.person_id for intent in waiting])


def _proposal(intent: Intent) -> Proposal:
    command = PersonToRegister(person_id=str(intent.person_id), identity_commitment=intent.commitment.hex())
    envelope = Envelope(id=str(intent.fact_id), source=REGISTRY_SOURCE, authid=intent.requested_by, authtype="system")
    return propose(command, envelope, hashlib.sha256(msgspec.json.encode(command, order="sorted")).digest())
