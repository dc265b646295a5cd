"""New keys for old ones, while the vault serves: a new master key, or a new key of fingerprints.

Each is a series of short transactions that hold the keys alone, so that nobody ever writes with a key that has just
been replaced, and everybody goes on between them. What is done stays done: run again after a crash, a rotation goes on
where it was.
"""

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import asyncpg

from services.registry.vault.keys import new_key
from services.registry.vault.keys_in_use import (
    Connection,
    KeysInUse,
    begin,
    fingerprint_key_name,
    holding_keys_alone,
    keys_in_use,
)
from services.registry.vault.persons import Person
from services.registry.vault.ring import KeyRing, Wrapped

BATCH_ROWS = 200
"""Rows that are made anew while nobody else holds the keys: some ten milliseconds."""

Told = Callable[[int], None]
"""Hears how many rows have been made anew since the last time."""

_ALONE = "SELECT pg_try_advisory_lock(7420, 4)"
_NOT_ALONE = "SELECT pg_advisory_unlock(7420, 4)"

_KNOWN = "SELECT key_id FROM vault.master_key"
_RETIRING = "SELECT key_id FROM vault.master_key WHERE state = 'RETIRING'"
_RETIRE = "UPDATE vault.master_key SET state = 'RETIRING' WHERE state = 'CURRENT'"
_MAKE_CURRENT = "INSERT INTO vault.master_key (key_id, state) VALUES ($1, 'CURRENT')"
_DESTROYED = "UPDATE vault.master_key SET state = 'DESTROYED', destroyed_at = now() WHERE key_id = $1"

_FINGERPRINT_KEYS = "SELECT version, wrapped_key, wrapped_by FROM vault.fingerprint_key WHERE wrapped_by <> $1"
_REWRAP_FINGERPRINT_KEY = "UPDATE vault.fingerprint_key SET wrapped_key = $2, wrapped_by = $3 WHERE version = $1"

# $1: the current master key, $2: behind which person, $3: how many. The data keys that another one has wrapped.
_WRAPPED_BY_ANOTHER = """
SELECT person_id, wrapped_key, wrapped_by FROM vault.person
WHERE wrapped_key IS NOT NULL AND wrapped_by <> $1 AND person_id > $2 ORDER BY person_id LIMIT $3
"""
_REWRAP = """
UPDATE vault.person p SET wrapped_key = anew.wrapped_key, wrapped_by = $3
FROM unnest($1::uuid[], $2::bytea[]) anew (person_id, wrapped_key) WHERE p.person_id = anew.person_id
"""

_INTENDED_BY_ANOTHER = """
SELECT fact_id, person_id, wrapped_key, wrapped_by FROM vault.intent WHERE wrapped_key IS NOT NULL AND wrapped_by <> $1
"""
_REWRAP_INTENDED = "UPDATE vault.intent SET wrapped_key = $2, wrapped_by = $3 WHERE fact_id = $1"

_NEW_VERSION = "INSERT INTO vault.fingerprint_key (version, wrapped_key, wrapped_by) VALUES ($1, $2, $3)"

# $1: the latest version, $2: behind which person, $3: how many.
_OF_AN_EARLIER_VERSION = """
SELECT * FROM vault.person WHERE fingerprint_version < $1 AND person_id > $2 ORDER BY person_id LIMIT $3
"""
_PRINT = """
UPDATE vault.person p
SET fingerprint_version = $4, fingerprint = anew.fingerprint, nir_fingerprint = anew.nir_fingerprint
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) anew (person_id, fingerprint, nir_fingerprint)
WHERE p.person_id = anew.person_id
"""

# Rectifications are looked for by all versions that were in use when they were kept: these do not know the latest.
_KEPT_BEFORE = "SELECT EXISTS (SELECT FROM vault.intent WHERE kind = 'RECTIFY' AND cardinality(fingerprints) < 2)"
_DROP_VERSIONS = "DELETE FROM vault.fingerprint_key WHERE version < $1"

_FIRST = uuid.UUID(int=0)


class AnotherRotation(Exception):
    """Another process is changing keys."""


class RectificationsUnderWay(Exception):
    """A rectification that was kept with the earlier version has not ended: the rotation can be run again soon."""


class RotatedMasterKey(NamedTuple):
    """current: the id of the master key from now on. retired: that of the one before; destroyed: whether it is gone."""

    current: str
    retired: str
    destroyed: bool


async def rotate_master_key(
    pool: asyncpg.Pool, ring: KeyRing, told: Told, *, batch_rows: int = BATCH_ROWS
) -> RotatedMasterKey:
    """Wrap every live key with a new master key, then destroy the one before: with it goes every way to open the keys
    in older backups, those of erased persons among them.

    The new key is one of the ring that was never in use, if there is one: so it can be given to every process first.
    Raises AnotherRotation, and MasterKeyMissing.
    """
    async with _one_at_a_time(pool):
        await begin(pool, ring)
        ring.reload()
        ring.clear_remains()
        if await pool.fetchval(_RETIRING) is None:
            await _make_current(pool, ring)
        behind, batch = _FIRST, [_FIRST]
        while batch:
            async with holding_keys_alone(pool) as connection:
                in_use = await keys_in_use(connection, ring)
                batch = await _rewrap(connection, in_use, behind, batch_rows)
            behind = max(batch, default=behind)
            told(len(batch))
        retired: str = await pool.fetchval(_RETIRING)
        destroyed = ring.destroy(retired)
        if destroyed:
            await pool.execute(_DESTROYED, retired)
    return RotatedMasterKey(in_use.master.id, retired, destroyed)


async def _make_current(pool: asyncpg.Pool, ring: KeyRing) -> None:
    known = {row["key_id"] for row in await pool.fetch(_KNOWN)}
    unused = [key_id for key_id in ring.ids if key_id not in known]
    master = ring.find(unused[0]) if unused else ring.create()
    async with holding_keys_alone(pool) as connection:
        await connection.execute(_RETIRE)
        await connection.execute(_MAKE_CURRENT, master.id)


async def _rewrap(connection: Connection, in_use: KeysInUse, behind: uuid.UUID, limit: int) -> list[uuid.UUID]:
    """Wrap the keys of some persons anew; who they are, nobody when nothing is left. The few others go first."""
    current = in_use.master.id
    if behind == _FIRST:
        for version, *wrapped in await connection.fetch(_FINGERPRINT_KEYS, current):
            name = fingerprint_key_name(version)
            anew = in_use.wrap(name, in_use.ring.unwrap(name, Wrapped(*wrapped)))
            await connection.execute(_REWRAP_FINGERPRINT_KEY, version, *anew)
        for fact_id, person_id, *wrapped in await connection.fetch(_INTENDED_BY_ANOTHER, current):
            anew = in_use.wrap(str(person_id), in_use.ring.unwrap(str(person_id), Wrapped(*wrapped)))
            await connection.execute(_REWRAP_INTENDED, fact_id, *anew)
    rows = await connection.fetch(_WRAPPED_BY_ANOTHER, current, behind, limit)
    person_ids = [row["person_id"] for row in rows]
    rewrapped = [
        in_use.wrap(str(person_id), in_use.ring.unwrap(str(person_id), Wrapped(*wrapped))).key
        for person_id, *wrapped in rows
    ]
    await connection.execute(_REWRAP, person_ids, rewrapped, current)
    return person_ids


async def rotate_fingerprint_key(pool: asyncpg.Pool, ring: KeyRing, told: Told, *, batch_rows: int = BATCH_ROWS) -> int:
    """Make every fingerprint anew with a new key, then forget the one before; the new version.

    Meanwhile identities are looked for with both. Raises AnotherRotation, RectificationsUnderWay, MasterKeyMissing.
    """
    async with _one_at_a_time(pool):
        await begin(pool, ring)
        async with holding_keys_alone(pool) as connection:
            in_use = await keys_in_use(connection, ring)
            if len(in_use.versions) == 1:
                version = in_use.latest + 1
                await connection.execute(_NEW_VERSION, version, *in_use.wrap(fingerprint_key_name(version), new_key()))
        behind, batch = _FIRST, [_FIRST]
        while batch:
            async with holding_keys_alone(pool) as connection:
                in_use = await keys_in_use(connection, ring)
                batch = await _print_anew(connection, in_use, behind, batch_rows)
                if not batch:
                    if await connection.fetchval(_KEPT_BEFORE):
                        raise RectificationsUnderWay("a rectification has not ended; run this again in a minute")
                    await connection.execute(_DROP_VERSIONS, in_use.latest)
            behind = max(batch, default=behind)
            told(len(batch))
    return in_use.latest


async def _print_anew(connection: Connection, in_use: KeysInUse, behind: uuid.UUID, limit: int) -> list[uuid.UUID]:
    """Make the fingerprints of some persons anew; who they are, nobody when nothing is left."""
    rows = await connection.fetch(_OF_AN_EARLIER_VERSION, in_use.latest, behind, limit)
    if not rows:
        return []
    persons = [Person.of(row) for row in rows]
    printed = [_printed(person, in_use) for person in persons]
    await connection.execute(_PRINT, *map(list, zip(*printed, strict=True)), in_use.latest)
    return [person.person_id for person in persons]


def _printed(person: Person, in_use: KeysInUse) -> Sequence[uuid.UUID | bytes | None]:
    """The person's id and fingerprints; none of a person whose identity was lost."""
    opened = person.opened(in_use.ring)
    if opened is None:
        return (person.person_id, None, None)
    return (person.person_id, *in_use.prints(opened.identity, opened.nir)[in_use.latest])


@contextlib.asynccontextmanager
async def _one_at_a_time(pool: asyncpg.Pool) -> AsyncIterator[None]:
    async with pool.acquire() as connection:
        if not await connection.fetchval(_ALONE):
            raise AnotherRotation("another process is changing the vault's keys")
        try:
            yield
        finally:  # after a crash the server does so
            await connection.execute(_NOT_ALONE)
