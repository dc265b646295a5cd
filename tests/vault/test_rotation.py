"""New keys for old ones: nothing is lost, nobody waits, a kill at any statement is made good, old dumps stay shut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from cryptography.exceptions import InvalidTag

from contracts.problems import Unavailable
from services.embedded.postgres import Postgres
from services.registry.vault.identity import Identity
from services.registry.vault.keys import KEY_BYTES, MasterKey
from services.registry.vault.keys_in_use import fingerprint_key_name
from services.registry.vault.persons import Person
from services.registry.vault.ring import KeyRing, MasterKeyMissing
from services.registry.vault.rotation import (
    AnotherRotation,
    RotatedMasterKey,
    rotate_fingerprint_key,
    rotate_master_key,
)
from services.registry.vault.vault import Vault
from tests.vault.conftest import NIR, OTHER_NIR, Site, into, make_tables, site_at, somebody
from tests.vault.dumps import dump, restore
from tests.vault.kills import killed_at

BATCH_ROWS = 6
PERSONS = 8


def tell(_: int) -> None:
    """Nobody listens."""


async def rotate_master(site: Site) -> RotatedMasterKey:
    return await rotate_master_key(site.pool, site.ring, tell, batch_rows=BATCH_ROWS)


async def rotate_fingerprints(site: Site) -> int:
    return await rotate_fingerprint_key(site.pool, site.ring, tell, batch_rows=BATCH_ROWS)


class Filled:
    """Persons of every kind: with a NIR, with one given later, merged, erased."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.identities: dict[str, Identity] = {}
        self.adopted = ""
        self.adopted_identity = somebody()

    async def fill(self) -> None:
        for n in range(PERSONS):
            identity = somebody(nir=NIR) if n % 3 == 0 else somebody()
            self.identities[await self.site.register(identity)] = identity
        self.adopted = await self.site.register(self.adopted_identity)
        await self.site.register(msgspec.structs.replace(self.adopted_identity, nir=NIR))
        self.identities[self.adopted] = self.adopted_identity
        kept_id, merged_id, erased_id = [await self.site.register(somebody()) for _ in range(3)]
        await self.site.vault.merge(kept_id, merged_id, "tests")
        await self.site.vault.erase(erased_id, "tests")

    async def check(self, site: Site) -> None:
        """Everybody is who they were, and is found by what they were found by."""
        for person_id, identity in self.identities.items():
            assert await site.vault.identity(person_id) == (person_id, identity)
            assert await site.register(identity) == person_id
        with_nir = msgspec.structs.replace(self.adopted_identity, nir=NIR)
        assert await site.register(with_nir) == self.adopted
        other = await site.register(msgspec.structs.replace(self.adopted_identity, nir=OTHER_NIR))
        assert other not in self.identities
        await site.vault.erase(other, "tests")


@pytest_asyncio.fixture
async def filled(site: Site) -> Filled:
    made = Filled(site)
    await made.fill()
    return made


@pytest_asyncio.fixture
async def other(site: Site) -> AsyncIterator[Site]:
    """Another process of the same installation."""
    async with site_at(site.url, site.folder) as made:
        await made.vault.begin()
        yield made


async def test_after_a_rotation_of_the_master_key_everybody_is_who_they_were(filled: Filled, other: Site) -> None:
    site = filled.site
    (before,) = site.ring.ids
    rotated = await rotate_master(site)
    assert rotated == RotatedMasterKey(rotated.current, before, destroyed=True)
    assert {row["wrapped_by"] for row in await site.rows("person")} == {rotated.current}
    assert {row["wrapped_by"] for row in await site.rows("fingerprint_key")} == {rotated.current}
    states = {row["key_id"]: (row["state"], row["destroyed_at"] is not None) for row in await site.rows("master_key")}
    assert states == {before: ("DESTROYED", True), rotated.current: ("CURRENT", False)}
    assert [path.name for path in site.folder.iterdir()] == [f"{rotated.current}.key"]
    await filled.check(site)
    await filled.check(other)


async def test_after_a_rotation_of_the_fingerprint_key_everybody_is_found(filled: Filled, other: Site) -> None:
    site = filled.site
    before = {row["fingerprint"] for row in await site.rows("person")}
    assert await rotate_fingerprints(site) == 2
    rows = await site.rows("person")
    assert {row["fingerprint_version"] for row in rows} == {2}
    assert not before & {row["fingerprint"] for row in rows}
    assert [row["version"] for row in await site.rows("fingerprint_key")] == [2]
    await filled.check(site)
    await filled.check(other)


@pytest.mark.parametrize("rotate", [rotate_master, rotate_fingerprints])
async def test_a_rotation_killed_at_any_statement_goes_on(
    filled: Filled, rotate: Callable[[Site], Awaitable[object]]
) -> None:
    site, steps = filled.site, 0
    while await killed_at(site.url, site.folder, rotate, stop_at=steps + 1, answered=steps % 2 == 0):
        steps += 1
        await gone_on(site, rotate)
        await filled.check(site)
        assert {len(await site.rows("fingerprint_key")), len(site.ring.ids)} == {1}
        states = [row["state"] for row in await site.rows("master_key")]
        assert sorted(set(states) - {"DESTROYED"}) == ["CURRENT"]
    assert steps >= 8


async def gone_on(site: Site, rotate: Callable[[Site], Awaitable[object]]) -> None:
    """Run it again, as soon as the database has noticed that the killed process is gone."""
    async with asyncio.timeout(20):
        while True:
            try:
                await rotate(site)
                return
            except AnotherRotation:
                await asyncio.sleep(0.01)


async def test_an_older_dump_stays_shut(filled: Filled, postgres: Postgres) -> None:
    """What wraps its keys exists no more, whoever was erased since, or was not."""
    site = filled.site
    person_id, identity = next(iter(filled.identities.items()))
    dumped = await dump(site.url, "--schema=vault")
    await site.vault.erase(person_id, "tests")
    stolen_fingerprint = (await site.rows("person"))[0]["fingerprint"]
    await postgres.create_database("older_dump")
    await restore(postgres.url("older_dump"), dumped)
    older = await asyncpg.connect(postgres.url("older_dump"))
    try:
        rows = await older.fetch("SELECT person_id::text AS owner, wrapped_key, wrapped_by FROM vault.person")
        rows += [
            {"owner": fingerprint_key_name(1), "wrapped_key": row["wrapped_key"], "wrapped_by": row["wrapped_by"]}
            for row in await older.fetch("SELECT * FROM vault.fingerprint_key")
        ]
        assert person_id in [row["owner"] for row in rows]
        assert any(opened(KeyRing(folder=site.folder), row) for row in rows)  # it does open before
        await rotate_fingerprints(site)
        await rotate_master(site)
        ring = KeyRing(folder=site.folder)
        assert not any(opened(ring, row) for row in rows)
        assert len(rows) > PERSONS
        assert stolen_fingerprint not in {row["fingerprint"] for row in await site.rows("person")}
    finally:
        await older.close()
    assert await site.register(identity) != person_id


def opened(ring: KeyRing, row: asyncpg.Record) -> bool:
    """Whether any key that there is opens what was wrapped."""
    for key_id in ring.ids:
        try:
            return len(ring.find(key_id).unwrap(row["owner"], row["wrapped_key"])) == KEY_BYTES
        except InvalidTag:
            pass
    return False


async def test_nobody_waits_and_nobody_is_doubled_meanwhile(site: Site, other: Site) -> None:
    """Two processes register the same identities at once, read and rectify, while both keys are rotated twice."""
    rotating = asyncio.create_task(_rotate_often(site))
    people: dict[str, Identity] = {}
    rounds = 0
    while not rotating.done() or rounds < 5:
        identities = [somebody() for _ in range(4)]
        both = await asyncio.gather(*(one.vault.register(identities, "tests") for one in (site, other)))
        assert [person.person_id for person in both[0]] == [person.person_id for person in both[1]]
        people |= {person.person_id: identity for person, identity in zip(both[0], identities, strict=True)}
        known_id, known = next(iter(people.items()))
        assert await other.register(known) == known_id
        changed = msgspec.structs.replace(known, usual_name=f"Nom {rounds}")
        await other.vault.rectify(known_id, into(changed), "tests", names_nir=False)
        assert (await site.vault.identity(known_id))[1] == changed
        people[known_id] = changed
        rounds += 1
    await rotating
    for person_id, identity in people.items():
        assert (await site.vault.identity(person_id))[1] == identity
        assert await other.register(identity) == person_id
    assert (await site.facts()).count("person.registered") == len(people) == len(await site.rows("person"))


async def test_between_two_versions_of_fingerprints_everybody_is_found_by_either(filled: Filled, other: Site) -> None:
    """A rotation that stopped when some fingerprints were made anew: what is known is found, what is new is one."""
    site = filled.site
    assert await killed_at(site.url, site.folder, rotate_fingerprints, stop_at=4, answered=True)
    versions = [row["fingerprint_version"] for row in await site.rows("person")]
    assert set(versions) == {1, 2}
    await filled.check(site)
    await filled.check(other)
    identity = somebody()
    one, same = await asyncio.gather(site.register(identity), other.register(identity))
    assert one == same
    await other.vault.rectify(one, into(somebody()), "tests", names_nir=False)
    assert await site.register(identity) != one
    await gone_on(site, rotate_fingerprints)
    await filled.check(other)


async def test_a_row_read_before_a_rotation_and_opened_after_it_is_read_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = somebody()
    person_id = await site.register(identity)
    find, rotations = Vault._find, iter([rotate_master])

    async def find_slowly(self: Vault, id_: str) -> Person:
        person = await find(self, id_)
        for rotate in rotations:  # meanwhile, once
            await rotate(site)
        return person

    monkeypatch.setattr(Vault, "_find", find_slowly)
    assert (await site.vault.identity(person_id))[1] == identity


async def _rotate_often(site: Site) -> None:
    for _ in range(2):
        await rotate_fingerprints(site)
        await rotate_master(site)


async def test_two_rotations_at_once_are_refused(site: Site) -> None:
    async with site.pool.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock(7420, 4)")
        with pytest.raises(AnotherRotation):
            await rotate_master(site)
        await connection.execute("SELECT pg_advisory_unlock(7420, 4)")
    await rotate_master(site)


async def test_a_key_that_was_handed_out_before_is_the_next_one(site: Site) -> None:
    prepared = KeyRing(folder=site.folder).create()
    assert (await rotate_master(site)).current == prepared.id


async def test_a_key_that_is_given_is_retired_and_its_destruction_recorded_once_it_is_gone(
    database_url: str, tmp_path: Path
) -> None:
    await make_tables(database_url)
    (tmp_path / "keys").mkdir()
    given = bytes(range(32))
    async with site_at(database_url, tmp_path / "keys") as made:
        both = KeyRing(given, tmp_path / "keys")
        rotated = await rotate_master_key(made.pool, both, tell)
        assert rotated.retired == MasterKey(given).id
        assert not rotated.destroyed
        later = await rotate_master_key(made.pool, KeyRing(folder=tmp_path / "keys"), tell)
        assert later == RotatedMasterKey(rotated.current, rotated.retired, destroyed=True)


async def test_a_process_without_the_key_says_so_and_goes_on_once_it_has_it(site: Site, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    identity = somebody()
    person_id = await site.register(identity)
    async with site_at(site.url, elsewhere) as late:
        await late.vault.begin()
        with pytest.raises(MasterKeyMissing) as missing:
            await late.register(somebody())
        assert missing.value.status == 503
        for asked in (late.vault.identity(person_id), late.vault.check_ready()):
            with pytest.raises(MasterKeyMissing):
                await asked
        (key,) = site.folder.iterdir()
        (elsewhere / key.name).write_bytes(key.read_bytes())
        await late.vault.check_ready()
        assert await late.vault.identity(person_id) == (person_id, identity)
        assert await late.register(identity) == person_id


async def test_a_vault_without_any_key_does_not_begin(database_url: str, tmp_path: Path) -> None:
    await make_tables(database_url)
    async with site_at(database_url, tmp_path) as made:
        with pytest.raises(Unavailable):
            await made.vault.begin()
        with pytest.raises(Unavailable):
            await made.vault.identity("nobody")


def test_a_key_whose_destruction_was_interrupted_is_none(tmp_path: Path) -> None:
    ring = KeyRing(folder=tmp_path)
    kept, gone = ring.create(), ring.create()
    (tmp_path / f"{gone.id}.key").write_bytes(bytes(2 * KEY_BYTES))
    ring.reload()
    assert ring.ids == [kept.id]
    ring.clear_remains()
    assert [path.name for path in tmp_path.iterdir()] == [f"{kept.id}.key"]


def test_a_destroyed_key_is_overwritten_before_it_is_removed(tmp_path: Path) -> None:
    ring = KeyRing(folder=tmp_path)
    key = ring.create()
    with (tmp_path / f"{key.id}.key").open("rb") as held:  # the same bytes on the disk
        assert ring.destroy(key.id)
        assert set(held.read()) == {0}
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MasterKeyMissing):
        ring.find(key.id)


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    key = KeyRing(folder=tmp_path / "keys").create()
    assert (tmp_path / "keys" / f"{key.id}.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
