"""A vault restored from an older backup beside the log of today: the erased stay erased, before anybody is served."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from contracts.problems import Erased, NotFound, Unavailable
from services.log.reader import LogReader
from services.registry.vault.identity import Identity
from services.registry.vault.replaying import LogBehind, Replayed, replay
from services.registry.vault.vault import LOST
from tests.vault.conftest import Site, into, site_at, somebody
from tests.vault.dumps import dump, restore_schema
from tests.vault.kills import killed_at


class Past:
    """What happened after a backup of the vault was made."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.erased_identity, self.rectified_identity, self.lost_identity = somebody(), somebody(), somebody()

    async def happen(self) -> None:
        site = self.site
        self.same_identity = somebody()
        self.same = await site.register(self.same_identity)
        self.erased = await site.register(self.erased_identity)
        self.merged, self.kept = await site.register(somebody()), await site.register(somebody())
        self.both = await site.register(somebody())
        self.rectified = await site.register(self.rectified_identity)
        await site.vault.sweep(0.0)
        self.backup = await dump(site.url, "--schema=vault")
        self.log_backup = await dump(site.url, "--schema=log")
        await site.vault.merge(self.erased, self.both, "tests")
        await site.vault.erase(self.erased, "tests")
        await site.vault.merge(self.kept, self.merged, "tests")
        self.better = msgspec.structs.replace(self.rectified_identity, usual_name="Durand")
        await site.vault.rectify(self.rectified, into(self.better), "tests", names_nir=False)
        self.lost = await site.register(self.lost_identity)
        await site.vault.sweep(0.0)

    async def come_back(self) -> None:
        await restore_schema(self.site.url, "vault", self.backup)

    async def check(self, site: Site) -> None:
        """As it was before the restore, but for the identities that no backup has."""
        for person_id in (self.erased, self.both):
            with pytest.raises(Erased):
                await site.vault.identity(person_id)
        assert {str(row["person_id"]) for row in await site.rows("person")} == {
            *(self.same, self.merged, self.kept, self.rectified, self.lost)
        }
        assert (await site.vault.identity(self.merged))[0] == self.kept
        assert await site.vault.identity(self.same) == (self.same, self.same_identity)
        assert await site.vault.identity(self.rectified) == (self.rectified, self.rectified_identity)
        with pytest.raises(NotFound) as lost:
            await site.vault.identity(self.lost)
        assert lost.value.detail == LOST


@pytest_asyncio.fixture
async def past(site: Site) -> Past:
    made = Past(site)
    await made.happen()
    return made


@pytest_asyncio.fixture
async def restored(past: Past) -> AsyncIterator[Site]:
    """A process that starts on the older vault; it has not begun."""
    await past.come_back()
    async with site_at(past.site.url, past.site.folder) as made:
        yield made


async def test_erasures_and_merges_are_made_again_before_anybody_is_served(past: Past, restored: Site) -> None:
    with pytest.raises(Unavailable):
        await restored.vault.identity(past.erased)
    with pytest.raises(Unavailable):
        await restored.register(somebody())
    assert await restored.vault.begin() == Replayed(lost=1, outdated=1)
    await past.check(restored)
    assert await restored.vault.begin() == Replayed()
    with pytest.raises(Erased):
        await restored.vault.erase(past.erased, "tests")


async def test_an_erased_identity_that_is_posted_again_is_a_new_person(past: Past, restored: Site) -> None:
    await restored.vault.begin()
    assert await restored.register(past.erased_identity) not in (past.erased, past.both)


async def test_without_the_log_the_older_vault_would_know_who_was_erased(past: Past, restored: Site) -> None:
    """The negative twin: what is made again was really gone."""
    assert past.erased in {str(row["person_id"]) for row in await restored.rows("person")}


async def test_who_is_lost_gets_an_identity_by_a_patch(past: Past, restored: Site) -> None:
    await restored.vault.begin()
    seen: list[Identity | None] = []

    def amend(before: Identity | None) -> Identity:
        seen.append(before)
        return past.lost_identity

    assert (await restored.vault.rectify(past.lost, amend, "tests", names_nir=False)).recorded is not None
    assert seen == [None]
    assert await restored.vault.identity(past.lost) == (past.lost, past.lost_identity)
    assert await restored.register(past.lost_identity) == past.lost


async def test_who_is_lost_is_found_again_by_a_merge(past: Past, restored: Site) -> None:
    await restored.vault.begin()
    again = await restored.register(past.lost_identity)
    assert again != past.lost
    await restored.vault.merge(again, past.lost, "tests")
    assert await restored.vault.identity(past.lost) == (again, past.lost_identity)


async def test_who_is_lost_may_be_erased(past: Past, restored: Site) -> None:
    await restored.vault.begin()
    await restored.vault.erase(past.lost, "tests")
    with pytest.raises(Erased):
        await restored.vault.identity(past.lost)


async def test_any_number_of_processes_may_follow_the_log_at_once(past: Past, restored: Site) -> None:
    replays = [replay(restored.pool, LogReader(restored.pool), positions_max=2) for _ in range(5)]
    assert sum(done.lost for done in await asyncio.gather(*replays)) == 1
    await restored.vault.begin()
    await past.check(restored)


async def follow(site: Site) -> None:
    await replay(site.pool, site.reader, positions_max=4)


async def test_following_the_log_killed_at_any_statement_goes_on(past: Past) -> None:
    steps, killed = 0, True
    while killed:
        await past.come_back()
        killed = await killed_at(
            past.site.url, past.site.folder, follow, stop_at=steps + 1, answered=steps % 2 == 0, begin=False
        )
        steps += killed
        async with site_at(past.site.url, past.site.folder) as made:
            await made.vault.begin()
            await past.check(made)
    assert steps >= 8


async def test_a_log_that_ends_before_what_the_vault_has_followed_is_waited_for(past: Past) -> None:
    """Erasures may be among what it lacks."""
    now = await dump(past.site.url, "--schema=log")
    await restore_schema(past.site.url, "log", past.log_backup)
    async with site_at(past.site.url, past.site.folder) as made:
        with pytest.raises(LogBehind):
            await made.vault.begin()
        with pytest.raises(Unavailable):
            await made.vault.identity(past.same)
        await restore_schema(past.site.url, "log", now)
        assert await made.vault.begin() == Replayed()
        assert await made.vault.identity(past.same) == (past.same, past.same_identity)


async def test_nothing_is_followed_where_nothing_happened(site: Site) -> None:
    assert await site.vault.begin() == Replayed()
    assert [row["position"] for row in await site.rows("replayed")] == [0]
