"""Processes killed at every statement that writes, of every change of a person: on restart each ends once, and right.

The statements are those of the intent, of the fact and of the effect. Two ways lead on: the sweeper of the next start,
and the caller that asks again.
"""

import contextlib
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from contracts.facts import PersonErased, PersonRectified, PersonRegistered, PersonsMerged
from contracts.problems import Erased, NotFound
from contracts.refusals import PersonMerged
from services.registry.vault.identity import Identity
from tests.vault.conftest import Site, into, somebody
from tests.vault.kills import killed_at

Way = Callable[[Site, Callable[[], Awaitable[object]]], Awaitable[None]]


async def by_the_sweeper(site: Site, _: Callable[[], Awaitable[object]]) -> None:
    while await site.vault.sweep(0.0):
        pass


async def by_asking_again(_: Site, again: Callable[[], Awaitable[object]]) -> None:
    await again()


ways = pytest.mark.parametrize(
    ("way", "answered"),
    [(by_the_sweeper, False), (by_asking_again, True)],
    ids=["swept after a lost answer", "asked again"],
)


async def register(site: Site, identity: Identity) -> str:
    (registered,) = await site.vault.register([identity], "tests")
    return registered.person_id


async def rectify(site: Site, person_id: str, identity: Identity) -> None:
    await site.vault.rectify(person_id, into(identity), "tests", names_nir=False)


async def merge(site: Site, kept_id: str, merged_id: str) -> None:
    """Who is merged already is as they were asked to be."""
    with contextlib.suppress(PersonMerged):
        await site.vault.merge(kept_id, merged_id, "tests")


async def erase(site: Site, person_id: str) -> None:
    """Who is erased already is as it was asked to be."""
    with contextlib.suppress(Erased):
        await site.vault.erase(person_id, "tests")


class Killed:
    """Work that was killed at one statement after the other, until it had none left."""

    def __init__(self, site: Site, answered: bool, work: Callable[..., Awaitable[object]], way: Way) -> None:
        self._site, self._answered, self._work, self._way = site, answered, work, way
        self.steps = 0

    async def each(
        self, prepare: Callable[[], Awaitable[tuple[Any, ...]]], check: Callable[..., Awaitable[None]]
    ) -> None:
        """For each statement: prepare gives the work's arguments, and check gets them once it has gone on."""
        for stop_at in range(1, 50):
            arguments = await prepare()
            killed = await killed_at(
                self._site.url, self._site.folder, self._work, *arguments, stop_at=stop_at, answered=self._answered
            )
            await self._way(self._site, partial(self._work, self._site, *arguments))
            await check(*arguments)
            assert not await self._site.rows("intent")
            if not killed:
                return
            self.steps += 1
        pytest.fail("the work does not end")


@ways
async def test_a_registration_killed_at_any_statement(site: Site, way: Way, answered: bool) -> None:
    work = Killed(site, answered, register, way)
    identities: list[Identity] = []

    async def prepare() -> tuple[Identity]:
        identities.append(somebody())
        return (identities[-1],)

    async def check(identity: Identity) -> None:
        person_id = await site.register(identity)
        assert await site.vault.identity(person_id) == (person_id, identity)

    await work.each(prepare, check)
    assert work.steps == 4
    facts = [event.data for event in await site.events()]
    assert {fact.type_name() for fact in facts} == {PersonRegistered.type_name()}
    assert len(facts) == len({fact.person_id for fact in facts}) == len(identities)  # type: ignore[attr-defined]
    assert len(await site.rows("person")) == len(identities)


@ways
async def test_a_rectification_killed_at_any_statement(site: Site, way: Way, answered: bool) -> None:
    work = Killed(site, answered, rectify, way)
    before: dict[str, Identity] = {}

    async def prepare() -> tuple[str, Identity]:
        identity = somebody()
        before[person_id := await site.register(identity)] = identity
        return person_id, msgspec.structs.replace(somebody(), usual_name="Durand")

    async def check(person_id: str, after: Identity) -> None:
        rectified = [e.data for e in await site.events() if isinstance(e.data, PersonRectified)]
        of_this = [fact for fact in rectified if fact.person_id == person_id]
        (row,) = [row for row in await site.rows("person") if str(row["person_id"]) == person_id]
        _, identity = await site.vault.identity(person_id)
        if of_this:
            (fact,) = of_this
            assert identity == after
            assert row["commitment"].hex() == fact.identity_commitment
            assert await site.register(after) == person_id
            assert await site.register(before[person_id]) != person_id
        else:
            assert way is by_the_sweeper
            assert identity == before[person_id]
            assert await site.register(before[person_id]) == person_id

    await work.each(prepare, check)
    assert work.steps == 6


@ways
async def test_a_merge_killed_at_any_statement(site: Site, way: Way, answered: bool) -> None:
    work = Killed(site, answered, merge, way)

    async def prepare() -> tuple[str, str]:
        return await site.register(somebody()), await site.register(somebody())

    async def check(kept_id: str, merged_id: str) -> None:
        merges = [e.data for e in await site.events() if isinstance(e.data, PersonsMerged)]
        of_these = [fact for fact in merges if fact.merged_id == merged_id]
        known_as, _identity = await site.vault.identity(merged_id)
        assert known_as == (kept_id if of_these else merged_id)
        assert len(of_these) == 1 or (not of_these and way is by_the_sweeper)

    await work.each(prepare, check)
    assert work.steps == 6


@ways
async def test_an_erasure_killed_at_any_statement(site: Site, way: Way, answered: bool) -> None:
    work = Killed(site, answered, erase, way)

    async def prepare() -> tuple[str]:
        person_id, other_id = await site.register(somebody()), await site.register(somebody())
        await site.vault.merge(person_id, other_id, "tests")
        return (person_id,)

    async def check(person_id: str) -> None:
        erased = [e.data.person_id for e in await site.events() if isinstance(e.data, PersonErased)]
        rows = [row for row in await site.rows("person") if person_id in (str(row["person_id"]), str(row["kept_id"]))]
        if person_id in erased:
            assert erased.count(person_id) == 1
            assert rows == []
            with pytest.raises(Erased):
                await site.vault.identity(person_id)
        else:
            assert way is by_the_sweeper
            assert len(rows) == 2

    await work.each(prepare, check)
    assert work.steps == 6


async def test_what_never_was_is_not_made_up(site: Site) -> None:
    """The other side: nothing under way, nothing done."""
    person_id = await site.register(somebody())
    assert await site.vault.sweep(0.0) == 0
    assert await site.facts() == ["person.registered"]
    with pytest.raises(NotFound):
        await site.vault.identity(str(uuid.uuid4()))
    assert (await site.vault.identity(person_id))[0] == person_id
