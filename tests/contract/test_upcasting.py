"""A fact with a second version: the log holds both, and everything that decides sees one fact of today."""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from eventsourcing.dcb.domain import Selector, Slice
from eventsourcing.domain import event
from msgspec import UNSET, UnsetType

from contracts.envelope import Envelope, decode, encode
from contracts.facts import FACTS, Fact, Part
from contracts.facts.fact import REFERENCE, Positive, Slug
from contracts.json_schemas import schemas
from contracts.upcasters import UPCASTERS, Upcaster, upcast
from services.log.boundary import BITS
from services.log.migrations import migrate
from services.log.proposal import Placed, Proposal
from services.log.reader import LogReader
from services.log.transaction import CONNECTION_SETTINGS
from services.log.writer import LogWriter
from services.registry.app import LOG_MIGRATIONS

V1, V2, V3 = (f"certibranche.medal.given.v{version}" for version in (1, 2, 3))


class MedalAtFirst(Fact, frozen=True, kw_only=True):
    """v1, as it was when it was recorded."""

    name = "medal.given"

    medal_id: Slug
    grams: Positive

    def tags(self) -> tuple[str, ...]:
        return (f"medal:{self.medal_id}", REFERENCE)


class MedalV1(Part, frozen=True, kw_only=True):
    """The data of v1, kept."""

    medal_id: Slug
    grams: Positive


class MedalGiven(Fact, frozen=True, kw_only=True):
    """v2: weighed in milligrams, of a metal that v1 did not tell."""

    name = "medal.given"
    type_version = 2

    medal_id: Slug
    milligrams: Positive
    metal: Slug | UnsetType = UNSET

    def tags(self) -> tuple[str, ...]:
        return (f"medal:{self.medal_id}", REFERENCE)


def to_v2(medal: MedalV1) -> MedalGiven:
    return MedalGiven(medal_id=medal.medal_id, milligrams=medal.grams * 1000)


class GiveMedal(Slice[Fact]):
    """Gives a medal that weighs as much as all of its name before, and one milligram more."""

    def __init__(self, known: "Medals") -> None:
        self.known = known
        self.milligrams: list[int] = []

    def consistency_boundary(self) -> Selector:
        return Selector(types=[MedalGiven], tags=["medal:crown"])

    @event(MedalGiven)
    def _(self, milligrams: int) -> None:
        self.milligrams.append(milligrams)

    def execute(self) -> None:
        assert self.known.milligrams == self.milligrams, "the reference and the boundary saw the same"
        milligrams = sum(self.milligrams) + 1
        self.trigger_event(MedalGiven, medal_id="crown", milligrams=milligrams, metal="gold")


class GiveMedalAtFirst(Slice[Fact]):
    """As it was decided in the days of v1."""

    def __init__(self, known: "Medals") -> None:
        pass

    def consistency_boundary(self) -> Selector:
        return Selector(types=[MedalAtFirst], tags=["medal:crown"])

    @event(MedalAtFirst)
    def _(self) -> None:
        pass

    def execute(self) -> None:
        self.trigger_event(MedalAtFirst, medal_id="crown", grams=5)


class Medals:
    """A reference of all medals."""

    def __init__(self, types: Sequence[type[Fact]], milligrams: Sequence[int] = ()) -> None:
        self.types = types
        self.milligrams = list(milligrams)

    def folded(self, facts: Sequence[Placed]) -> "Medals":
        weights = [getattr(fact, "milligrams", 0) for _, fact in facts]
        return Medals(self.types, [*self.milligrams, *weights])


def proposal(slice_type: Callable[[Medals], Slice[Fact]]) -> Proposal:
    id_ = uuid.uuid4().hex
    envelope = Envelope(id=id_, source="urn:test", authid="tests")
    return Proposal(
        lambda circumstances: slice_type(circumstances.reference),
        partial(encode, envelope),
        sha256(id_.encode()).digest(),
        bytes(32),
    )


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Fact]], None]:
    """Makes one class of the fact the one of today, as another release would."""

    def register(fact_type: type[Fact]) -> None:
        for name in (V1, V2):
            monkeypatch.delitem(FACTS, name, raising=False)
        monkeypatch.setitem(FACTS, fact_type.type_name(), fact_type)
        monkeypatch.setitem(BITS, fact_type, 1 << (40 + fact_type.type_version))
        if fact_type is MedalGiven:
            monkeypatch.delitem(BITS, MedalAtFirst, raising=False)
            monkeypatch.setitem(UPCASTERS, V1, Upcaster(MedalV1, to_v2))

    return register


@pytest_asyncio.fixture
async def log_url(database_url: str) -> str:
    connection = await asyncpg.connect(database_url)
    await migrate(connection, "log", LOG_MIGRATIONS)
    await connection.close()
    return database_url


def writer(log_url: str, fact_type: type[Fact]) -> LogWriter:
    """A writer as a process has it that has just started."""
    return LogWriter(partial(asyncpg.connect, log_url, server_settings=CONNECTION_SETTINGS), Medals((fact_type,)))


async def record(writer: LogWriter, slice_type: Callable[[Medals], Slice[Fact]], count: int) -> None:
    for outcome in await writer.append([proposal(slice_type) for _ in range(count)]):
        if isinstance(outcome, Exception):
            raise outcome


async def test_a_decision_sees_both_versions_as_the_fact_of_today(
    log_url: str, register: Callable[[type[Fact]], None]
) -> None:
    register(MedalAtFirst)
    async with writer(log_url, MedalAtFirst) as first:
        await record(first, GiveMedalAtFirst, 2)

    register(MedalGiven)
    async with writer(log_url, MedalGiven) as second:
        await record(second, GiveMedal, 2)  # 5 g + 5 g + 1 mg; then that one too, of the same group
    async with writer(log_url, MedalGiven) as third:
        await record(third, GiveMedal, 1)  # all four out of the log

    async with asyncpg.create_pool(log_url, min_size=0) as pool:
        page = await LogReader(pool).page(0)
    assert [entry.type for entry in page] == [V1, V1, V2, V2, V2]
    facts: list[Any] = [entry.event().data for entry in page]
    assert all(isinstance(fact, MedalGiven) for fact in facts)
    assert [fact.milligrams for fact in facts] == [5_000, 5_000, 10_001, 20_002, 40_004]


async def test_a_log_that_never_held_the_first_version_is_written_too(
    log_url: str, register: Callable[[type[Fact]], None]
) -> None:
    register(MedalGiven)
    async with writer(log_url, MedalGiven) as only:
        await record(only, GiveMedal, 2)


async def test_a_second_version_comes_after_any_number_of_starts(
    log_url: str, register: Callable[[type[Fact]], None]
) -> None:
    """A start draws no numbers for types that have one: they are small, and a mask of them has 63 bits."""
    register(MedalAtFirst)
    for _ in range(4):
        async with writer(log_url, MedalAtFirst) as first:
            await record(first, GiveMedalAtFirst, 1)
    register(MedalGiven)
    async with writer(log_url, MedalGiven) as second:
        await record(second, GiveMedal, 1)


def stored_v1() -> bytes:
    fact = MedalAtFirst(medal_id="crown", grams=5)
    return encode(Envelope(id="1", source="urn:test", authid="tests"), fact, 7, datetime(2026, 1, 1, tzinfo=UTC))


def test_an_older_version_is_read_as_the_fact_of_today(register: Callable[[type[Fact]], None]) -> None:
    register(MedalGiven)
    for event_ in (decode(stored_v1()), decode(stored_v1(), V1)):
        assert event_.data == MedalGiven(medal_id="crown", milligrams=5_000)
        assert event_.type == V1, "its type stays what the bytes say"
        assert event_.position == 7


def test_versions_are_lifted_one_after_the_other(
    register: Callable[[type[Fact]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class MedalV2(Part, frozen=True, kw_only=True):
        medal_id: Slug
        milligrams: Positive

    class MedalOfToday(MedalGiven, frozen=True, kw_only=True):
        type_version = 3

    register(MedalOfToday)
    monkeypatch.setitem(
        UPCASTERS, V1, Upcaster(MedalV1, lambda v1: MedalV2(medal_id=v1.medal_id, milligrams=v1.grams * 1000))
    )
    monkeypatch.setitem(
        UPCASTERS, V2, Upcaster(MedalV2, lambda v2: MedalOfToday(medal_id=v2.medal_id, milligrams=v2.milligrams))
    )
    assert MedalOfToday.wire_names() == (V1, V2, V3)
    assert decode(stored_v1()).data == MedalOfToday(medal_id="crown", milligrams=5_000)


def test_a_chain_that_does_not_reach_a_fact_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UPCASTERS, V1, Upcaster(MedalV1, lambda v1: v1))
    with pytest.raises(AssertionError):
        upcast(V1, MedalV1(medal_id="crown", grams=5))


def test_an_unknown_type_is_not_read() -> None:
    with pytest.raises(KeyError):
        decode(stored_v1())


def test_an_older_version_keeps_its_schema(register: Callable[[type[Fact]], None]) -> None:
    register(MedalAtFirst)
    shipped = schemas()[V1]
    register(MedalGiven)
    of_today = schemas()
    assert of_today[V1]["properties"]["type"] == {"type": "string", "const": V1}
    members = [next(iter(schema["$defs"].values()))["properties"] for schema in (shipped, of_today[V1])]
    assert members[0] == members[1]
    assert "milligrams" in next(iter(of_today[V2]["$defs"].values()))["properties"]


@pytest.mark.parametrize("fact_type", FACTS.values())
def test_the_facts_of_today_have_one_version(fact_type: type[Fact]) -> None:
    assert fact_type.wire_names() == (fact_type.type_name(),)
