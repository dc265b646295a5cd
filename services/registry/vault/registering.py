"""Registering persons: one civil identity is one person, however often and at how many places at once it is posted."""

import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg

from contracts.problems import Problem
from services.log.proposal import Proposal
from services.log.writer import LogWriter
from services.registry.domain.persons import PersonToRegister
from services.registry.vault.identity import Identity, civil_identity, nir_digits
from services.registry.vault.intents import Intents, registry_proposal
from services.registry.vault.keys_in_use import Connection, KeysInUse, Prints
from services.registry.vault.persons import Person

# One lock for each person or fingerprint, in one order for all: whoever writes about one of them meets here.
LOCK = "SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) k"

# $1: fingerprints, each once. One after the other from the index: the planner has no statistics of them, and would take
# a thousand for most of the table.
KNOWN = """
SELECT p.*
FROM unnest($1::bytea[]) wanted (fingerprint),
    LATERAL (SELECT * FROM vault.person WHERE fingerprint = wanted.fingerprint OFFSET 0) p
ORDER BY p.requested_at, p.person_id
"""

_REGISTER = """
INSERT INTO vault.person
    (person_id, fingerprint_version, fingerprint, nir_fingerprint, fact_id, commitment, sealed, wrapped_key, wrapped_by,
     requested_by)
SELECT * FROM unnest(
    $1::uuid[], $2::int[], $3::bytea[], $4::bytea[], $5::uuid[], $6::bytea[], $7::bytea[], $8::bytea[], $9::text[],
    $10::text[]
)
"""

# The first NIR given for a person who had none is theirs from then on: with another one it is another person.
_GIVE_NIRS = """
UPDATE vault.person p SET nir_fingerprint = given.nir_fingerprint, sealed_nir = given.sealed_nir
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) given (person_id, nir_fingerprint, sealed_nir)
WHERE p.person_id = given.person_id
"""

_RECORDED = "UPDATE vault.person SET recorded = true WHERE person_id = ANY($1::uuid[]) AND NOT recorded"

_UNRECORDED = """
SELECT * FROM vault.person WHERE NOT recorded AND requested_at < now() - $1 * interval '1 second'
ORDER BY requested_at LIMIT 1000
"""


class _Post(NamedTuple):
    """An identity that is being registered."""

    identity: Identity
    civil: bytes
    prints: Mapping[int, Prints]


async def find_or_make(
    connection: Connection, keys: KeysInUse, intents: Intents, identities: Sequence[Identity], requested_by: str
) -> list[tuple[Person, bool]]:
    """The rows of identities, each with whether it is new. Raises UnderWay."""
    posts = [_Post(i, civil_identity(i), keys.prints(i, nir_digits(i))) for i in identities]
    civil_of = {print_.fingerprint: post.civil for post in posts for print_ in post.prints.values()}
    await connection.execute(LOCK, locks(list(civil_of)))
    known: dict[bytes, list[Person]] = {}
    for row in await connection.fetch(KNOWN, list(civil_of)):
        known.setdefault(civil_of[row["fingerprint"]], []).append(Person.of(row))
    person_ids = {id_ for persons in known.values() for person in persons for id_ in (person[0], person.known_as)}
    await intents.none_under_way(connection, list(person_ids), list(civil_of))
    found: list[tuple[Person, bool]] = []
    given_nirs: dict[uuid.UUID, Person] = {}
    for post in posts:
        persons = known.setdefault(post.civil, [])
        same = [person for person in persons if person.is_of(post.prints)]
        if not same:
            persons.append(Person.new(keys, post.identity, requested_by))
            found.append((persons[-1], True))
            continue
        person = next((person for person in same if person.has_the_nir_of(post.prints)), same[0])
        found.append((person, False))
        nir = nir_digits(post.identity)
        if nir is not None and person.nir_fingerprint is None:
            given = given_nirs[person.person_id] = person.given_nir(keys.ring, nir, post.prints)
            persons[persons.index(person)] = given
    if new := [person[:10] for person, is_new in found if is_new]:
        await connection.execute(_REGISTER, *map(list, zip(*new, strict=True)))
    if given_nirs:
        nirs = [(id_, person.nir_fingerprint, person.sealed_nir) for id_, person in given_nirs.items()]
        await connection.execute(_GIVE_NIRS, *map(list, zip(*nirs, strict=True)))
    return found


async def record(pool: asyncpg.Pool, log: LogWriter, persons: Sequence[Person]) -> None:
    """Record the facts of persons not known to be recorded, then say so in their rows."""
    waiting = list({person.person_id: person for person in persons if not person.recorded}.values())
    if not waiting:
        return
    for outcome in await log.append([_registration(person) for person in waiting]):
        if isinstance(outcome, Problem):
            raise outcome
    await pool.execute(_RECORDED, [person.person_id for person in waiting])


async def unrecorded(pool: asyncpg.Pool, older_than_s: float) -> list[Person]:
    """Persons whose fact is not known to be recorded, at most a thousand."""
    return [Person.of(row) for row in await pool.fetch(_UNRECORDED, older_than_s)]


def locks(names: Sequence[bytes]) -> list[int]:
    return sorted({int.from_bytes(name[:8], signed=True) for name in names})


def _registration(person: Person) -> Proposal:
    command = PersonToRegister(person_id=str(person.person_id), identity_commitment=person.commitment.hex())
    return registry_proposal(command, person.fact_id, person.requested_by)
