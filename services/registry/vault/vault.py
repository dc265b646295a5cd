"""Who is who: persons are registered, found again, put right, merged and erased here. Identities go nowhere else."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

import asyncpg

from contracts.problems import Erased, NotFound, Problem, Unavailable
from contracts.refusals import IdentityTaken, PersonMerged, SamePerson
from services.log.proposal import Recorded
from services.log.reader import LogReader
from services.log.writer import LogWriter
from services.registry.vault.identity import Identity, nir_digits
from services.registry.vault.intents import Intent, Intents, UnderWay
from services.registry.vault.keys import new_key
from services.registry.vault.keys_in_use import (
    Connection,
    KeysInUse,
    Prints,
    begin,
    holding_keys,
    seal_identity,
)
from services.registry.vault.persons import Opened, Person
from services.registry.vault.registering import KNOWN, LOCK, find_or_make, locks, record, unrecorded
from services.registry.vault.replaying import Replayed, replay
from services.registry.vault.ring import KeyRing, MasterKeyMissing

# $1: any id of a person. The row under which the person is kept.
_FIND = """
SELECT p.*, EXISTS (
    SELECT FROM vault.intent i WHERE i.person_id = p.person_id OR i.merged_id = p.person_id
) AS changes
FROM vault.person p
WHERE p.recorded AND p.person_id = (SELECT coalesce(kept_id, person_id) FROM vault.person WHERE person_id = $1)
"""

_UNDER_EVERY_ID = """
SELECT * FROM vault.person WHERE person_id = $1 OR kept_id = $1 ORDER BY kept_id NULLS FIRST, requested_at, person_id
"""

_STILL = "SELECT * FROM vault.person WHERE person_id = $1 AND kept_id IS NULL"

_CURRENT = "SELECT key_id FROM vault.master_key WHERE state = 'CURRENT'"

_IS_ERASED = "SELECT EXISTS (SELECT FROM vault.erasure WHERE person_id = $1)"


LOST = (
    "This person is registered, but the vault was restored from an older backup: patch the person with the whole "
    "identity, or register it again and merge."
)

Asked = ParamSpec("Asked")
Found = TypeVar("Found")


def _looks_again(look: Callable[Asked, Awaitable[Found]]) -> Callable[Asked, Awaitable[Found]]:
    """A row that was on its way here while the master key was rotated names a key that is gone: the row has another."""

    @wraps(look)
    async def looking(*args: Asked.args, **kwargs: Asked.kwargs) -> Found:
        try:
            return await look(*args, **kwargs)
        except MasterKeyMissing:
            return await look(*args, **kwargs)

    return looking


class Registered(NamedTuple):
    """The person of an identity. `new`: registered by this very post."""

    person_id: str
    new: bool


class Known(NamedTuple):
    """What the vault holds under one id. opened: None for an identity that it has lost."""

    person_id: str
    commitment: bytes
    opened: Opened | None


class Rectified(NamedTuple):
    """A person's identity after a rectification. recorded: its fact; None where nothing had to change."""

    person_id: str
    identity: Identity
    recorded: Recorded | None


Amend = Callable[[Identity | None], Identity]
"""What an identity becomes; it is None for a person whose identity the vault has lost."""


class Vault:
    """Who the persons of the log are."""

    def __init__(self, pool: asyncpg.Pool, ring: KeyRing, log: LogWriter, reader: LogReader) -> None:
        self._pool = pool
        self._ring = ring
        self._log = log
        self._reader = reader
        self._intents = Intents(pool, ring, log)
        self._begun = False

    async def begin(self) -> Replayed:
        """Take up the first keys if the vault has none yet, and follow the log to its end; then persons are served.

        Raises MasterKeyMissing and LogBehind.
        """
        await begin(self._pool, self._ring)
        replayed = await replay(self._pool, self._reader)
        self._begun = True
        return replayed

    async def check_begun(self) -> None:
        """Raise Unavailable before `begin` has succeeded: who was erased may still be in the vault."""
        if not self._begun:
            raise Unavailable("The vault has not followed the log to its end yet.", retry_after_s=2)

    async def check_ready(self) -> None:
        """Raise Unavailable before `begin` has succeeded, MasterKeyMissing where this process lacks the current key."""
        await self.check_begun()
        self._ring.find(await self._pool.fetchval(_CURRENT))

    async def register(self, identities: Sequence[Identity], requested_by: str) -> list[Registered]:
        """The persons of identities, in order: those known already under their id, the others newly registered.

        requested_by: the client_id of the caller, a system. When this returns, all of them are in the log.
        """
        await self.check_begun()
        while True:
            try:
                async with holding_keys(self._pool, self._ring) as (connection, keys):
                    found = await find_or_make(connection, keys, self._intents, identities, requested_by)
                break
            except UnderWay as under_way:
                await self._intents.settle(under_way.intents)
        await record(self._pool, self._log, [person for person, _ in found])
        return [Registered(str(person.known_as), new) for person, new in found]

    async def identity(self, person_id: str) -> tuple[str, Identity]:
        """The id under which a person is known, and the identity. Raises NotFound and Erased."""
        person, opened = await self.opened(person_id)
        return str(person.person_id), opened.identity

    @_looks_again
    async def identities(self, person_id: str) -> list[Known]:
        """All that the vault holds of a person, under every id, the one the person is known by first.

        Raises NotFound and Erased.
        """
        kept = await self._find(person_id)
        rows = await self._pool.fetch(_UNDER_EVERY_ID, kept.person_id)
        if not rows:
            raise await self._missing(person_id)
        persons = [Person.of(row) for row in rows]
        return [Known(str(person.person_id), person.commitment, person.opened(self._ring)) for person in persons]

    @_looks_again
    async def opening(self, person_id: str, promise: bytes) -> bytes:
        """What opens a commitment of the log: 32 bytes of salt, then the identity as it was committed to, JSON.

        person_id: of the fact that holds the commitment. Raises Erased, and NotFound when the identity was put right
        since: the opening of the one before went with it.
        """
        await self._find(person_id)
        row = await self._pool.fetchrow("SELECT * FROM vault.person WHERE person_id = $1", _uuid(person_id))
        if row is None:
            raise await self._missing(person_id)
        person = Person.of(row)
        if person.commitment != promise:
            raise NotFound("This identity was put right since: nothing opens the commitment any more.")
        opening = person.unsealed(self._ring)
        if opening is None:
            raise NotFound(LOST)
        return opening

    @_looks_again
    async def opened(self, person_id: str) -> tuple[Person, Opened]:
        """The row under which a person is kept, and all it says. Raises NotFound and Erased."""
        person = await self._find(person_id)
        opened = person.opened(self._ring)
        if opened is None:
            raise NotFound(LOST)
        return person, opened

    async def rectify(self, person_id: str, amend: Amend, requested_by: str, *, names_nir: bool) -> Rectified:
        """Put an identity right. names_nir: the change speaks of the NIR; a known one stays otherwise.

        Raises NotFound, Erased, what `amend` raises, and IdentityTaken when it becomes another person's.
        """
        while True:
            person = await self._find(person_id)
            try:
                async with holding_keys(self._pool, self._ring) as (connection, keys):
                    await connection.execute(LOCK, locks([person.person_id.bytes]))
                    await self._intents.none_under_way(connection, [person.person_id], [])
                    row = await connection.fetchrow(_STILL, person.person_id)
                    if row is None:
                        continue  # merged or erased meanwhile
                    before, person = Person.of(row).opened(self._ring), Person.of(row)
                    after = amend(before and before.identity)
                    if before is not None and after == before.identity and not (names_nir and before.later_nir):
                        return Rectified(str(person.person_id), after, None)
                    nir = nir_digits(after) if names_nir or before is None else before.nir
                    prints = keys.prints(after, nir)
                    await self._refuse_taken(connection, person, prints)
                    intent = _to_rectify(keys, person, after, prints, requested_by, names_nir=names_nir)
                    await self._intents.keep(connection, intent)
            except UnderWay as under_way:
                await self._intents.settle(under_way.intents)
            else:
                return Rectified(str(person.person_id), after, await self._intents.finish(intent))

    async def merge(self, kept_id: str, merged_id: str, requested_by: str) -> Recorded:
        """Record that two ids are one person (M1). Raises NotFound and Erased for kept_id, refusals for merged_id."""
        merged = _uuid(merged_id)
        while True:
            kept = await self._find(kept_id)
            if kept_id == merged_id:
                raise SamePerson(f"Person {kept_id} is not merged with itself.", rule="M1", person_id=kept_id)
            if (known_as := str(kept.person_id)) != kept_id:
                raise PersonMerged(
                    f"Person {kept_id} is known as {known_as}.", rule="M1", person_id=kept_id, kept_id=known_as
                )
            intent = Intent(uuid.uuid4(), "MERGE", kept.person_id, requested_by, merged_id=merged)
            if await self._intend(intent, [kept.person_id, merged]):
                return await self._intents.finish(intent)

    async def erase(self, person_id: str, requested_by: str) -> Recorded:
        """Erase an identity under all ids of the person (M2). Raises NotFound and Erased."""
        while True:
            person = await self._find(person_id)
            intent = Intent(uuid.uuid4(), "ERASE", person.person_id, requested_by)
            if await self._intend(intent, [person.person_id]):
                return await self._intents.finish(intent)

    async def sweep(self, older_than_s: float) -> int:
        """Follow the log, and finish what crashes left behind; how many there were, at most about a thousand."""
        await replay(self._pool, self._reader)
        self._ring.reload()
        persons = await unrecorded(self._pool, older_than_s)
        await record(self._pool, self._log, persons)
        return len(persons) + await self._intents.sweep(older_than_s)

    async def _intend(self, intent: Intent, person_ids: Sequence[uuid.UUID]) -> bool:
        """Keep the intent, unless a change of these persons was under way: then that one is finished."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(LOCK, locks([person_id.bytes for person_id in person_ids]))
                await self._intents.none_under_way(connection, person_ids, [])
                await self._intents.keep(connection, intent)
        except UnderWay as under_way:
            await self._intents.settle(under_way.intents)
            return False
        return True

    async def _find(self, person_id: str) -> Person:
        """The row under which a person is kept, once what is under way has ended: no erasure is outrun."""
        await self.check_begun()
        while (row := await self._pool.fetchrow(_FIND, _uuid(person_id))) is not None:
            if not row["changes"]:
                return Person.of(row)
            await self._intents.settle(await self._intents.about(self._pool, [row["person_id"]], []))
        raise await self._missing(person_id)

    async def _missing(self, person_id: str) -> Problem:
        if await self._pool.fetchval(_IS_ERASED, _uuid(person_id)):
            return Erased("This person's identity has been erased.")
        return NotFound("No person has this id.")

    async def _refuse_taken(self, connection: Connection, person: Person, prints: Mapping[int, Prints]) -> None:
        """Raise IdentityTaken when these are another person's prints, UnderWay when they may become so."""
        fingerprints = [version.fingerprint for version in prints.values()]
        await connection.execute(LOCK, locks(fingerprints))
        await self._intents.none_under_way(connection, [], fingerprints)
        for row in await connection.fetch(KNOWN, fingerprints):
            other = Person.of(row)
            if other.known_as != person.person_id and other.is_of(prints):
                raise IdentityTaken(
                    "Another person is registered with this identity.", rule="P1", person_id=other.known_as
                )


def _to_rectify(
    keys: KeysInUse,
    person: Person,
    identity: Identity,
    prints: Mapping[int, Prints],
    requested_by: str,
    *,
    names_nir: bool,
) -> Intent:
    """The person's data key stays; one whose identity was lost gets a new one."""
    person_id, data_key, wrapped = str(person.person_id), person.data_key(keys.ring), None
    if data_key is None:
        data_key = new_key()
        wrapped = keys.wrap(person_id, data_key)
    sealed = seal_identity(data_key, person_id, identity)
    return Intent(
        fact_id=uuid.uuid4(),
        kind="RECTIFY",
        person_id=person.person_id,
        requested_by=requested_by,
        fingerprints=[version.fingerprint for version in prints.values()],
        names_nir=names_nir,
        commitment=sealed.commitment,
        sealed=sealed.content,
        wrapped_key=wrapped and wrapped.key,
        wrapped_by=wrapped.by if wrapped else "",
    )


def _uuid(person_id: str) -> uuid.UUID:
    """Raises NotFound for what is no id of a person."""
    try:
        found = uuid.UUID(person_id)
    except ValueError:
        raise NotFound("No person has this id.") from None
    if str(found) != person_id:
        raise NotFound("No person has this id.")
    return found
