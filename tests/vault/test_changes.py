"""Rectifications, merges and erasures, one after the other and at once."""

import asyncio

import msgspec
import pytest

from contracts.problems import Erased, NotFound
from contracts.refusals import IdentityTaken, PersonMerged
from services.registry.vault import effects
from services.registry.vault.identity import Identity
from services.registry.vault.vault import Amend, Rectified
from tests.vault.conftest import NIR, OTHER_NIR, Site, into, somebody


def with_nir(identity: Identity, nir: str) -> Identity:
    return msgspec.structs.replace(identity, nir=nir)


def adding_email(email: str) -> Amend:
    def amend(before: Identity | None) -> Identity:
        assert before is not None
        return msgspec.structs.replace(before, email=email)

    return amend


async def rectify(site: Site, person_id: str, amend: Amend, *, names_nir: bool = False) -> Rectified:
    return await site.vault.rectify(person_id, amend, "tests", names_nir=names_nir)


async def test_a_nir_given_later_outlives_a_rectification_that_does_not_speak_of_it(site: Site) -> None:
    identity = somebody()
    person_id = await site.register(identity)
    assert await site.register(with_nir(identity, NIR)) == person_id
    await rectify(site, person_id, adding_email("a@example.org"))
    assert await site.register(with_nir(identity, OTHER_NIR)) != person_id
    assert await site.register(with_nir(identity, NIR)) == person_id


async def test_a_nir_given_later_is_not_told_apart_after_a_rectification_that_takes_it_away(site: Site) -> None:
    identity = somebody()
    person_id = await site.register(with_nir(identity, NIR))
    await rectify(site, person_id, into(identity), names_nir=True)
    assert await site.register(with_nir(identity, OTHER_NIR)) == person_id


async def test_a_nir_that_was_adopted_is_taken_away_by_naming_it(site: Site) -> None:
    identity = somebody()
    person_id = await site.register(identity)
    await site.register(with_nir(identity, NIR))
    assert (await rectify(site, person_id, into(identity), names_nir=True)).recorded is not None
    assert await site.register(with_nir(identity, OTHER_NIR)) == person_id


async def test_a_nir_given_later_is_sealed_too(site: Site) -> None:
    identity = somebody()
    person_id = await site.register(identity)
    await site.register(with_nir(identity, NIR))
    (row,) = await site.rows("person")
    assert NIR[:13].encode() not in b"".join(value for value in row.values() if isinstance(value, bytes))
    _, opened = await site.vault.opened(person_id)
    assert opened.later_nir == NIR[:13].encode()
    assert opened.identity == identity


async def test_rectifications_at_once_lose_nothing(site: Site) -> None:
    """Each is made on what the one before has left."""
    person_id = await site.register(somebody())

    def using(name: str) -> Amend:
        def amend(before: Identity | None) -> Identity:
            assert before is not None
            return msgspec.structs.replace(before, usual_name=f"{before.usual_name or ''}{name}")

        return amend

    await asyncio.gather(*(rectify(site, person_id, using(name)) for name in "abcdef"))
    _, identity = await site.vault.identity(person_id)
    assert sorted(str(identity.usual_name)) == list("abcdef")
    (row,) = await site.rows("person")
    last = (await site.events())[-1].data
    assert row["commitment"].hex() == last.identity_commitment  # type: ignore[attr-defined]


async def test_what_changes_nothing_is_no_fact(site: Site) -> None:
    identity = somebody()
    person_id = await site.register(identity)
    assert (await rectify(site, person_id, into(identity))).recorded is None
    assert await site.facts() == ["person.registered"]


async def test_two_persons_are_not_put_right_into_one_at_once(site: Site) -> None:
    one, other, goal = await site.register(somebody()), await site.register(somebody()), somebody()
    ended = await asyncio.gather(
        *(rectify(site, person_id, into(goal)) for person_id in (one, other)), return_exceptions=True
    )
    assert {type(end) for end in ended} == {Rectified, IdentityTaken}


async def test_effects_may_come_in_any_order(site: Site) -> None:
    """The facts: b is merged into a, then a into c. Effects: the other way round."""
    a, b, c = [await site.register(somebody()) for _ in range(3)]
    rows = {str(row["person_id"]): row["person_id"] for row in await site.rows("person")}
    async with site.pool.acquire() as connection, connection.transaction():
        await effects.merged(connection, rows[c], rows[a])
        await effects.merged(connection, rows[a], rows[b])
        await effects.merged(connection, rows[a], rows[b])
    assert [(await site.vault.identity(id_))[0] for id_ in (a, b, c)] == [c, c, c]


async def test_an_erasure_reaches_who_is_merged_later(site: Site) -> None:
    """The facts: b is merged into a, then a is erased. Effects: the other way round."""
    a, b = await site.register(somebody()), await site.register(somebody())
    rows = {str(row["person_id"]): row["person_id"] for row in await site.rows("person")}
    async with site.pool.acquire() as connection, connection.transaction():
        await effects.erased(connection, rows[a], rows[a])
        await effects.merged(connection, rows[a], rows[b])
    for person_id in (a, b):
        with pytest.raises(Erased):
            await site.vault.identity(person_id)
    assert await site.rows("person") == []


async def test_changes_of_one_person_at_once_end_somewhere(site: Site) -> None:
    """Merges and erasures that cross each other: every id has one answer, and nothing is under way any more."""
    for _ in range(5):
        a, b, c = [await site.register(somebody()) for _ in range(3)]
        await asyncio.gather(
            site.vault.merge(a, b, "tests"),
            site.vault.merge(c, a, "tests"),
            site.vault.merge(b, c, "tests"),
            site.vault.erase(a, "tests"),
            rectify(site, b, into(somebody())),
            return_exceptions=True,
        )
        assert await site.rows("intent") == []
        erased = {str(row["person_id"]) for row in await site.rows("erasure")}
        gone = [event.data for event in await site.events() if event.data.name == "person.erased"]
        assert {fact.person_id for fact in gone} <= erased  # type: ignore[attr-defined]
        for person_id in (a, b, c):
            if person_id in erased:
                with pytest.raises(Erased):
                    await site.vault.identity(person_id)
            else:
                assert (await site.vault.identity(person_id))[0] in (a, b, c)


async def test_who_is_erased_is_gone_at_once_with_what_was_intended(site: Site) -> None:
    identity = somebody()
    person_id = await site.register(identity)
    await site.vault.erase(person_id, "tests")
    for table in ("person", "intent"):
        assert await site.rows(table) == []
    with pytest.raises(Erased):
        await site.vault.erase(person_id, "tests")
    assert await site.register(identity) != person_id


async def test_a_merge_is_recorded_once(site: Site) -> None:
    kept_id, merged_id = await site.register(somebody()), await site.register(somebody())
    await site.vault.merge(kept_id, merged_id, "tests")
    with pytest.raises(PersonMerged):
        await site.vault.merge(kept_id, merged_id, "tests")
    with pytest.raises(NotFound):
        await site.vault.merge("nobody", merged_id, "tests")
