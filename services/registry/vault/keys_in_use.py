"""The keys that the vault's tables say are in use, held for one transaction.

Whoever writes what depends on keys holds them: a shared lock, under which they stay what they are. Who changes which
keys are in use, or what was made with them, takes the lock alone (`rotation`), for a few milliseconds at a time.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, TypeAlias

import asyncpg
import msgspec

from contracts.problems import Unavailable
from services.registry.vault import keys
from services.registry.vault.identity import Identity, civil_identity
from services.registry.vault.keys import KEY_BYTES, MasterKey
from services.registry.vault.ring import KeyRing, Wrapped

Connection: TypeAlias = "asyncpg.Connection | asyncpg.pool.PoolConnectionProxy"

_HOLD = "SELECT pg_advisory_xact_lock_shared(7420, 2)"
_HOLD_ALONE = "SELECT pg_advisory_xact_lock(7420, 2)"

_IN_USE = """
SELECT m.key_id, f.version, f.wrapped_key, f.wrapped_by
FROM vault.master_key m CROSS JOIN vault.fingerprint_key f
WHERE m.state = 'CURRENT' ORDER BY f.version
"""

_BEGIN = "INSERT INTO vault.master_key (key_id, state) VALUES ($1, 'CURRENT')"
_BEGIN_FINGERPRINTS = "INSERT INTO vault.fingerprint_key (version, wrapped_key, wrapped_by) VALUES ($1, $2, $3)"
_WRAPPED_BY_THE_FIRST = "UPDATE vault.person SET wrapped_by = $1 WHERE wrapped_by = ''"
_INTENDED_BY_THE_FIRST = "UPDATE vault.intent SET wrapped_by = $1 WHERE wrapped_by = '' AND wrapped_key IS NOT NULL"


class Prints(NamedTuple):
    """What one identity is found by, with one version of the key."""

    fingerprint: bytes
    nir_fingerprint: bytes | None


class KeysInUse:
    """ring: opens what was wrapped. master: wraps what is written. fingerprint_keys: by version."""

    def __init__(self, ring: KeyRing, master: MasterKey, fingerprint_keys: Mapping[int, bytes]) -> None:
        self.ring = ring
        self.master = master
        self._fingerprint_keys = fingerprint_keys
        self.latest = max(fingerprint_keys)
        """The version of the fingerprints that are written."""

    @property
    def versions(self) -> list[int]:
        """Of the fingerprints that are looked for: one, or two while they are made anew."""
        return sorted(self._fingerprint_keys)

    def prints(self, identity: Identity, nir: bytes | None) -> dict[int, Prints]:
        """By version. nir: its first 13 characters, None where none is known."""
        civil = civil_identity(identity)
        return {
            version: Prints(
                keys.fingerprint(key, b"civil identity", civil),
                None if nir is None else keys.fingerprint(key, b"nir", nir),
            )
            for version, key in self._fingerprint_keys.items()
        }

    def wrap(self, person_id: str, data_key: bytes) -> Wrapped:
        return Wrapped(self.master.wrap(person_id, data_key), self.master.id)


class Sealed(NamedTuple):
    """An identity as it is stored, and what the log holds of it."""

    commitment: bytes
    content: bytes


def seal_identity(data_key: bytes, person_id: str, identity: Identity) -> Sealed:
    """The identity encrypted together with a new salt."""
    salt, content = keys.new_key(), msgspec.json.encode(identity, order="sorted")
    return Sealed(keys.commitment(salt, content), keys.seal(data_key, person_id, salt + content))


def open_identity(data_key: bytes, person_id: str, sealed: bytes) -> Identity:
    return msgspec.json.decode(keys.unseal(data_key, person_id, sealed)[KEY_BYTES:], type=Identity)


def seal_nir(data_key: bytes, person_id: str, nir: bytes) -> bytes:
    """A NIR given after the registration: kept beside the identity, to which the log is committed."""
    return keys.seal(data_key, _nir_of(person_id), nir)


def open_nir(data_key: bytes, person_id: str, sealed_nir: bytes) -> bytes:
    return keys.unseal(data_key, _nir_of(person_id), sealed_nir)


def _nir_of(person_id: str) -> str:
    return f"{person_id} nir"


@contextlib.asynccontextmanager
async def holding_keys(pool: asyncpg.Pool, ring: KeyRing) -> AsyncIterator[tuple[Connection, KeysInUse]]:
    """A transaction in which the keys in use do not change. Raises MasterKeyMissing, and Unavailable before `begin`."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_HOLD)
        yield connection, await keys_in_use(connection, ring)


@contextlib.asynccontextmanager
async def holding_keys_alone(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
    """A transaction that may change which keys are in use and what was made with them: nobody else holds them."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_HOLD_ALONE)
        yield connection


async def begin(pool: asyncpg.Pool, ring: KeyRing) -> None:
    """Take up the first keys of a vault that has none yet."""
    if await pool.fetch(_IN_USE):
        return
    async with holding_keys_alone(pool) as connection:
        if await connection.fetch(_IN_USE):
            return
        if not ring.ids:
            raise Unavailable("The vault has no master key yet, and this process was given none.")
        master = ring.find(ring.ids[0])
        await connection.execute(_BEGIN, master.id)
        wrapped = master.wrap(fingerprint_key_name(1), master.first_fingerprint_key)
        await connection.execute(_BEGIN_FINGERPRINTS, 1, wrapped, master.id)
        await connection.execute(_WRAPPED_BY_THE_FIRST, master.id)
        await connection.execute(_INTENDED_BY_THE_FIRST, master.id)


def fingerprint_key_name(version: int) -> str:
    """Whose key it is, to the master key that wraps it."""
    return f"fingerprint {version}"


async def keys_in_use(connection: Connection, ring: KeyRing) -> KeysInUse:
    """Those of a transaction that holds them, alone or not. Raises MasterKeyMissing, and Unavailable before `begin`."""
    rows = await connection.fetch(_IN_USE)
    if not rows:
        raise Unavailable("The vault has no keys yet.")
    fingerprint_keys = {
        row["version"]: ring.unwrap(
            fingerprint_key_name(row["version"]), Wrapped(row["wrapped_key"], row["wrapped_by"])
        )
        for row in rows
    }
    return KeysInUse(ring, ring.find(rows[0]["key_id"]), fingerprint_keys)
