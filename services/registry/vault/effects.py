"""What facts of persons do to the vault. Each effect may come twice, late, or before that of an earlier fact: it ends
the same. They run one after the other, under a lock of their own."""

import uuid

import asyncpg

from services.registry.vault.identity import Identity, nir_digits
from services.registry.vault.keys_in_use import Connection, KeysInUse, open_identity
from services.registry.vault.persons import Person
from services.registry.vault.ring import Wrapped

_ONE_BY_ONE = "SELECT pg_advisory_xact_lock(7420, 3)"

_PERSON = "SELECT * FROM vault.person WHERE person_id = $1"

_RECTIFY = """
UPDATE vault.person
SET fingerprint_version = $2, fingerprint = $3, nir_fingerprint = $4, commitment = $5, sealed = $6, wrapped_key = $7,
    wrapped_by = $8, sealed_nir = CASE WHEN $9 THEN NULL ELSE sealed_nir END
WHERE person_id = $1
"""

# Meanwhile the kept one may have been merged further, or erased: then an erasure takes this one too.
_KEPT = """
SELECT coalesce(p.kept_id, p.person_id) AS kept_id, e.fact_id AS erased_by
FROM (VALUES ($1::uuid)) asked (person_id)
LEFT JOIN vault.person p USING (person_id) LEFT JOIN vault.erasure e USING (person_id)
"""

_MERGE = "UPDATE vault.person SET kept_id = $1 WHERE (person_id = $2 OR kept_id = $2) AND person_id <> $1"

# The person under all its ids: nothing that names anybody stays, only that they were erased.
_ERASE = """
WITH gone AS (DELETE FROM vault.person WHERE person_id = $1 OR kept_id = $1 RETURNING person_id),
     named AS (SELECT person_id FROM gone UNION SELECT $1),
     intended AS (DELETE FROM vault.intent WHERE kind = 'RECTIFY' AND person_id IN (SELECT person_id FROM named))
INSERT INTO vault.erasure (person_id, fact_id) SELECT person_id, $2 FROM named ON CONFLICT DO NOTHING
"""


async def take_turn(connection: Connection) -> None:
    """Wait until no other transaction lets facts have their effects; then others wait for this one."""
    await connection.execute(_ONE_BY_ONE)


async def rectified(connection: Connection, keys: KeysInUse, intent: asyncpg.Record) -> None:
    """Put the identity of a RECTIFY intent in the place of the one before. A NIR it does not speak of stays."""
    row = await connection.fetchrow(_PERSON, intent["person_id"])
    if row is None:
        return  # erased meanwhile
    person = Person.of(row)
    person_id = str(person.person_id)
    if intent["wrapped_key"] is None:
        assert person.wrapped_key is not None
        wrapped = Wrapped(person.wrapped_key, person.wrapped_by)
    else:
        wrapped = Wrapped(intent["wrapped_key"], intent["wrapped_by"])
    identity: Identity = open_identity(keys.ring.unwrap(person_id, wrapped), person_id, intent["sealed"])
    nir = nir_digits(identity)
    if not intent["names_nir"] and (before := person.opened(keys.ring)) is not None:
        nir = before.nir
    prints = keys.prints(identity, nir)[keys.latest]
    await connection.execute(
        _RECTIFY,
        person.person_id,
        keys.latest,
        prints.fingerprint,
        prints.nir_fingerprint,
        intent["commitment"],
        intent["sealed"],
        wrapped.key,
        wrapped.by,
        intent["names_nir"],
    )


async def merged(connection: Connection, kept_id: uuid.UUID, merged_id: uuid.UUID) -> None:
    """From now on merged_id, and who had been merged into it, are names of kept_id."""
    kept = await connection.fetchrow(_KEPT, kept_id)
    assert kept is not None
    if kept["erased_by"] is not None:
        await erased(connection, merged_id, kept["erased_by"])
    elif kept["kept_id"] is not None:
        await connection.execute(_MERGE, kept["kept_id"], merged_id)


async def erased(connection: Connection, person_id: uuid.UUID, fact_id: uuid.UUID) -> None:
    """Delete identity, salt, keys and fingerprints of the person under all its ids. fact_id: of the fact that says
    so."""
    await connection.execute(_ERASE, person_id, fact_id)
