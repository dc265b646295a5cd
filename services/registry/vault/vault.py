"""Who is who: persons are registered, found again, put right, merged and erased here. Identities go nowhere else."""

import os
import uuid
from collections.abc import Sequence
from typing import NamedTuple, Self

import asyncpg
import msgspec

from contracts.problems import Erased, NotFound, Problem
from contracts.refusals import IdentityTaken, PersonMerged, SamePerson
from services.log.proposal import Proposal, Recorded
from services.log.writer import LogWriter
from services.registry.domain.persons import PersonToRegister
from services.registry.vault.identity import Identity, civil_identity, nir_digits
from services.registry.vault.intents import Intent, Intents, Kind, registry_proposal
from services.registry.vault.keys import KEY_BYTES, VaultKeys, commitment

# One lock for each fingerprint, in one order for all: whoever writes about one identity meets here.
_LOCK = "SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) k"

_KNOWN = "SELECT * FROM vault.person WHERE fingerprint = ANY($1::bytea[]) ORDER BY requested_at, person_id"

_REGISTER = """
INSERT INTO vault.person
    (fingerprint, nir_fingerprint, person_id, fact_id, commitment, sealed, wrapped_key, requested_by)
SELECT * FROM unnest(
    $1::bytea[], $2::bytea[], $3::uuid[], $4::uuid[], $5::bytea[], $6::bytea[], $7::bytea[], $8::text[]
)
"""

# The first NIR given for a person who had none is theirs from then on: with another one it is another person.
_GIVE_NIRS = """
UPDATE vault.person p SET nir_fingerprint = given.nir_fingerprint
FROM unnest($1::uuid[], $2::bytea[]) given (person_id, nir_fingerprint) WHERE p.person_id = given.person_id
"""

_RECORDED = "UPDATE vault.person SET recorded = true WHERE person_id = ANY($1::uuid[]) AND NOT recorded"

_UNRECORDED = """
SELECT * FROM vault.person WHERE NOT recorded AND requested_at < now() - $1 * interval '1 second'
ORDER BY requested_at LIMIT 1000
"""

# $1: any id of a person. The row under which the person is kept.
_FIND = """
SELECT * FROM vault.person
WHERE recorded AND person_id = (SELECT coalesce(kept_id, person_id) FROM vault.person WHERE person_id = $1)
"""

_IS_ERASED = "SELECT EXISTS (SELECT FROM vault.erasure WHERE person_id = $1)"


class Person(NamedTuple):
    """A row of `vault.person`."""

    fingerprint: bytes
    nir_fingerprint: bytes | None
    person_id: uuid.UUID
    fact_id: uuid.UUID
    commitment: bytes
    sealed: bytes
    wrapped_key: bytes
    requested_by: str
    recorded: bool = False
    kept_id: uuid.UUID | None = None

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        return cls(*(row[column] for column in cls._fields))

    @property
    def known_as(self) -> uuid.UUID:
        return self.kept_id or self.person_id

    def is_of(self, nir_fingerprint: bytes | None) -> bool:
        """Two different NIR are two persons, whatever their civil identity."""
        return nir_fingerprint is None or self.nir_fingerprint in (None, nir_fingerprint)


class Registered(NamedTuple):
    """The person of an identity. `new`: registered by this very post."""

    person_id: str
    new: bool


class Vault:
    """Who the persons of the log are."""

    def __init__(self, pool: asyncpg.Pool, keys: VaultKeys, log: LogWriter) -> None:
        self._pool = pool
        self._keys = keys
        self._log = log
        self._intents = Intents(pool, log)

    async def register(self, identities: Sequence[Identity], requested_by: str) -> list[Registered]:
        """The persons of identities, in order: those known already under their id, the others newly registered.

        requested_by: the client_id of the caller, a system. When this returns, all of them are in the log.
        """
        prints = [self._fingerprints(identity)[0] for identity in identities]
        found = None
        while found is None:
            known = await self._pool.fetch(_KNOWN, prints)
            await self._intents.settle([row["person_id"] for row in known], prints)
            found = await self._find_or_make(identities, requested_by)
        await self._record([person for person, _ in found])
        return [Registered(str(person.known_as), new) for person, new in found]

    async def identity(self, person_id: str) -> tuple[str, Identity]:
        """The id under which a person is known, and the identity. Raises NotFound and Erased."""
        person = await self._find(person_id)
        return str(person.person_id), self._open(person)

    async def opening(self, person_id: str, promise: bytes) -> bytes:
        """What opens a commitment of the log: 32 bytes of salt, then the identity as it was committed to, JSON.

        person_id: of the fact that holds the commitment. Raises Erased, and NotFound when the identity was put right
        since: the opening of the one before went with it.
        """
        await self._intents.settle([_uuid(person_id)], [])  # an erasure that is under way is not outrun
        row = await self._pool.fetchrow("SELECT * FROM vault.person WHERE person_id = $1", _uuid(person_id))
        if row is None:
            raise await self._missing(person_id)
        person = Person.of(row)
        if person.commitment != promise:
            raise NotFound("This identity was put right since: nothing opens the commitment any more.")
        return self._keys.open(person_id, person.sealed, person.wrapped_key)

    async def rectify(self, person_id: str, identity: Identity, requested_by: str) -> Recorded:
        """Put an identity right. Raises NotFound, Erased, and IdentityTaken when it is another person's."""
        person = await self._find(person_id)
        sealed = self._seal(identity, person.person_id, requested_by)
        intent = _intent("RECTIFY", person.person_id, requested_by, sealed=sealed)
        while not await self._intend_to_rectify(intent):
            await self._intents.settle([person.person_id], [sealed.fingerprint])
        return await self._intents.finish(intent)

    async def merge(self, kept_id: str, merged_id: str, requested_by: str) -> Recorded:
        """Record that two ids are one person (M1). Raises NotFound and Erased for kept_id, refusals for merged_id."""
        kept = await self._find(kept_id)
        if kept_id == merged_id:
            raise SamePerson(f"Person {kept_id} is not merged with itself.", rule="M1", person_id=kept_id)
        if str(kept.person_id) != kept_id:
            raise PersonMerged(
                f"Person {kept_id} is known as {kept.person_id}.", rule="M1", person_id=kept_id, kept_id=kept.person_id
            )
        intent = _intent("MERGE", kept.person_id, requested_by, merged_id=_uuid(merged_id))
        return await self._run(intent, [kept.person_id, _uuid(merged_id)])

    async def erase(self, person_id: str, requested_by: str) -> Recorded:
        """Erase an identity under all ids of the person (M2). Raises NotFound and Erased."""
        person = await self._find(person_id)
        return await self._run(_intent("ERASE", person.person_id, requested_by), [person.person_id])

    async def sweep(self, older_than_s: float) -> int:
        """Finish what crashes left behind; how many there were, at most about a thousand."""
        persons = [Person.of(row) for row in await self._pool.fetch(_UNRECORDED, older_than_s)]
        await self._record(persons)
        return len(persons) + await self._intents.sweep(older_than_s)

    async def _run(self, intent: Intent, person_ids: Sequence[uuid.UUID]) -> Recorded:
        await self._intents.settle(person_ids, [])
        async with self._pool.acquire() as connection:
            await self._intents.keep(connection, intent)
        return await self._intents.finish(intent)

    async def _intend_to_rectify(self, intent: Intent) -> bool:
        """Keep the intent unless another about the same person or identity is under way: then False."""
        assert intent.fingerprint is not None
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK, _locks([intent.fingerprint]))
            if await self._intents.under_way(connection, [intent.person_id], [intent.fingerprint]):
                return False
            for row in await connection.fetch(_KNOWN, [intent.fingerprint]):
                other = Person.of(row)
                if other.known_as != intent.person_id and other.is_of(intent.nir_fingerprint):
                    raise IdentityTaken(
                        "Another person is registered with this identity.", rule="P1", person_id=other.known_as
                    )
            await self._intents.keep(connection, intent)
        return True

    async def _find(self, person_id: str) -> Person:
        row = await self._pool.fetchrow(_FIND, _uuid(person_id))
        if row is not None:
            return Person.of(row)
        raise await self._missing(person_id)

    async def _missing(self, person_id: str) -> Problem:
        if await self._pool.fetchval(_IS_ERASED, _uuid(person_id)):
            return Erased("This person's identity has been erased.")
        return NotFound("No person has this id.")

    async def _find_or_make(
        self, identities: Sequence[Identity], requested_by: str
    ) -> list[tuple[Person, bool]] | None:
        """The rows of identities, each with whether it is new; None while one of them is being given to a person."""
        prints = [self._fingerprints(identity) for identity in identities]
        fingerprints = [fingerprint for fingerprint, _ in prints]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK, _locks(fingerprints))
            if await self._intents.under_way(connection, [], fingerprints):
                return None
            known: dict[bytes, list[Person]] = {}
            for row in await connection.fetch(_KNOWN, fingerprints):
                known.setdefault(row["fingerprint"], []).append(Person.of(row))
            found: list[tuple[Person, bool]] = []
            given_nirs: dict[uuid.UUID, bytes] = {}
            for identity, (fingerprint, nir_fingerprint) in zip(identities, prints, strict=True):
                persons = known.setdefault(fingerprint, [])
                same = [person for person in persons if person.is_of(nir_fingerprint)]
                exact = [person for person in same if person.nir_fingerprint == nir_fingerprint]
                if same:
                    person = (exact or same)[0]
                    found.append((person, False))
                    if nir_fingerprint is not None and person.nir_fingerprint is None:
                        given_nirs[person.person_id] = nir_fingerprint
                        persons[persons.index(person)] = person._replace(nir_fingerprint=nir_fingerprint)
                else:
                    persons.append(self._seal(identity, uuid.uuid4(), requested_by))
                    found.append((persons[-1], True))
            if new := [person[:8] for person, is_new in found if is_new]:
                await connection.execute(_REGISTER, *map(list, zip(*new, strict=True)))
            if given_nirs:
                await connection.execute(_GIVE_NIRS, list(given_nirs), list(given_nirs.values()))
        return found

    async def _record(self, persons: Sequence[Person]) -> None:
        """Record the facts of persons not known to be recorded, then say so in their rows."""
        waiting = list({person.person_id: person for person in persons if not person.recorded}.values())
        if not waiting:
            return
        for outcome in await self._log.append([_registration(person) for person in waiting]):
            if isinstance(outcome, Problem):
                raise outcome
        await self._pool.execute(_RECORDED, [person.person_id for person in waiting])

    def _fingerprints(self, identity: Identity) -> tuple[bytes, bytes | None]:
        nir = nir_digits(identity)
        return (
            self._keys.fingerprint(b"civil identity", civil_identity(identity)),
            None if nir is None else self._keys.fingerprint(b"nir", nir),
        )

    def _seal(self, identity: Identity, person_id: uuid.UUID, requested_by: str) -> Person:
        """A row for the identity, with a new salt and a new data key."""
        fingerprint, nir_fingerprint = self._fingerprints(identity)
        salt, content = os.urandom(KEY_BYTES), msgspec.json.encode(identity, order="sorted")
        sealed, wrapped_key = self._keys.seal(str(person_id), salt + content)
        promise = commitment(salt, content)
        return Person(fingerprint, nir_fingerprint, person_id, uuid.uuid4(), promise, sealed, wrapped_key, requested_by)

    def _open(self, person: Person) -> Identity:
        content = self._keys.open(str(person.person_id), person.sealed, person.wrapped_key)
        return msgspec.json.decode(content[KEY_BYTES:], type=Identity)


def _registration(person: Person) -> Proposal:
    command = PersonToRegister(person_id=str(person.person_id), identity_commitment=person.commitment.hex())
    return registry_proposal(command, person.fact_id, person.requested_by)


def _intent(
    kind: Kind,
    person_id: uuid.UUID,
    requested_by: str,
    *,
    merged_id: uuid.UUID | None = None,
    sealed: Person | None = None,
) -> Intent:
    return Intent(
        fact_id=uuid.uuid4(),
        kind=kind,
        person_id=person_id,
        merged_id=merged_id,
        fingerprint=sealed and sealed.fingerprint,
        nir_fingerprint=sealed and sealed.nir_fingerprint,
        commitment=sealed and sealed.commitment,
        sealed=sealed and sealed.sealed,
        wrapped_key=sealed and sealed.wrapped_key,
        requested_by=requested_by,
    )


def _locks(fingerprints: Sequence[bytes]) -> list[int]:
    return sorted({int.from_bytes(fingerprint[:8], signed=True) for fingerprint in fingerprints})


def _uuid(person_id: str) -> uuid.UUID:
    """Raises NotFound for what is no id of a person."""
    try:
        found = uuid.UUID(person_id)
    except ValueError:
        raise NotFound("No person has this id.") from None
    if str(found) != person_id:
        raise NotFound("No person has this id.")
    return found
