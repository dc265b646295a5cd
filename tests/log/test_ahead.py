"""Groups that are decided while others are put: on what those will have recorded, and never answered before it is."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contracts.facts import JuryHeld
from contracts.problems import IdempotencyConflict, Problem, Unavailable
from contracts.refusals import JuryExists
from services.log.proposal import Proposal, Recorded
from services.log.reader import LogReader
from services.log.transaction import LOOKING_AFTER_A_MISS
from services.log.writer import AHEAD_PROPOSALS_MIN, LogWriter
from tests.log.ahead import MANY, appends, counting, trusting, until
from tests.log.conftest import MakeWriter, jury, objective
from tests.log.gate import Gate

pytestmark = pytest.mark.usefixtures("unhurried")


async def test_half_of_many_are_decided_while_the_others_are_put(
    make_writer: MakeWriter, gate: Gate, reader: LogReader
) -> None:
    writer, decided = await trusting(make_writer, gate), list[bytes]()
    async with asyncio.timeout(20):
        posts = appends(writer, [counting(objective(), decided) for _ in range(MANY)])
        gate.closed = True
        async with gate.holding():
            await until(lambda: len(decided) == MANY)
            assert not any(post.done() for post in posts)
            assert await reader.head() == 1
        recorded = await asyncio.gather(*posts)
    assert [r.position for r in recorded] == list(range(2, MANY + 2))
    assert gate.put_sizes == [MANY // 2, MANY // 2]
    assert [entry.entry for entry in await reader.page(1)] == [r.entry for r in recorded]


async def test_few_wait_for_the_put_and_make_one_group(make_writer: MakeWriter, gate: Gate) -> None:
    """A group of one or two would cost the database as much as a large one."""
    writer, decided = await trusting(make_writer, gate), list[bytes]()
    async with asyncio.timeout(20):
        first = appends(writer, [objective()])
        async with gate.holding():
            few = appends(writer, [counting(objective(), decided) for _ in range(AHEAD_PROPOSALS_MIN - 1)])
            await until(lambda: writer._queued == len(few))
            assert not decided
        await asyncio.gather(*first, *few)
    assert gate.put_sizes == [1, AHEAD_PROPOSALS_MIN - 1]


async def test_what_comes_while_a_group_is_put_joins_the_next_one(make_writer: MakeWriter, gate: Gate) -> None:
    writer, decided = await trusting(make_writer, gate), list[bytes]()
    async with asyncio.timeout(20):
        posts = appends(writer, [objective()])
        async with gate.holding():
            for wave in range(1, 4):
                posts += appends(writer, [counting(objective(), decided) for _ in range(AHEAD_PROPOSALS_MIN)])
                await until(lambda wave=wave: len(decided) == wave * AHEAD_PROPOSALS_MIN)  # type: ignore[misc]
        recorded = await asyncio.gather(*posts)
    assert gate.put_sizes == [1, 3 * AHEAD_PROPOSALS_MIN]
    assert [r.position for r in recorded] == list(range(2, len(posts) + 2))


async def test_a_group_sees_the_facts_of_the_one_that_is_being_put(
    make_writer: MakeWriter, gate: Gate, reader: LogReader
) -> None:
    """J3: whoever comes later is refused, and only once the first one is recorded."""
    writer, id_ = await trusting(make_writer, gate), str(uuid.uuid4())
    async with asyncio.timeout(20):
        first = appends(writer, [jury(id_)])
        async with gate.holding():
            later = appends(writer, [jury(id_), *(objective() for _ in range(MANY))])
            await until(lambda: writer._queued == 0)
            assert not any(post.done() for post in (*first, *later))
        answers = await asyncio.gather(*first, *later, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Recorded, JuryExists, *[Recorded] * MANY]
    assert await reader.head() == 2 + MANY


async def test_a_repeat_of_what_is_being_put_is_a_repeat(
    make_writer: MakeWriter, gate: Gate, reader: LogReader
) -> None:
    writer = await trusting(make_writer, gate)
    async with asyncio.timeout(20):
        first = appends(writer, [objective(id_="a")])
        async with gate.holding():
            later = appends(writer, [objective(id_="a"), *(objective() for _ in range(MANY))])
            await until(lambda: writer._queued == 0)
        (recorded,), (again, *_) = await asyncio.gather(*first), await asyncio.gather(*later)
    assert again == recorded._replace(repeated=True)
    assert await reader.head() == 2 + MANY


async def test_what_was_decided_on_a_group_that_is_not_recorded_is_decided_again(
    make_writer: MakeWriter, gate: Gate, reader: LogReader
) -> None:
    """Another writer holds the first group's jury: its put is refused, and the positions behind it are others."""
    writer, other, id_ = await trusting(make_writer, gate), await make_writer(), str(uuid.uuid4())
    decided: list[bytes] = []
    async with asyncio.timeout(20):
        first = appends(writer, [jury(id_)])
        async with gate.holding():
            later = appends(writer, [counting(objective(id_=str(n)), decided) for n in range(MANY)])
            await until(lambda: len(decided) == MANY)
            await other.append_one(jury(id_))
        answers = await asyncio.gather(*first, *later, return_exceptions=True)
    assert [type(answer) for answer in answers] == [JuryExists, *[Recorded] * MANY]
    assert sorted(a.position for a in answers[1:] if isinstance(a, Recorded)) == list(range(3, MANY + 3))
    assert not any(a.repeated for a in answers if isinstance(a, Recorded))
    assert len(decided) == 2 * MANY
    assert await reader.head() == 2 + MANY


@pytest.mark.parametrize("committed", [True, False])
async def test_a_connection_that_is_lost_takes_the_group_behind_with_it_and_nothing_else(
    make_writer: MakeWriter, gate: Gate, reader: LogReader, *, committed: bool
) -> None:
    """Whether the first group was committed or not: each is recorded once, and nobody is told of a repeat."""
    writer, decided = await trusting(make_writer, gate), list[bytes]()
    async with asyncio.timeout(20):
        first = appends(writer, [objective(id_="first")])
        async with gate.holding(answers=committed) as passing:
            later = appends(writer, [counting(objective(id_=str(n)), decided) for n in range(MANY)])
            await until(lambda: len(decided) == MANY)
            assert await reader.head() == 1 + committed
            passing.set_exception(ConnectionResetError())
        recorded = await asyncio.gather(*first, *later)
    assert sorted(r.position for r in recorded) == list(range(2, MANY + 3))
    assert not any(r.repeated for r in recorded)
    assert len(decided) > MANY
    assert await reader.head() == MANY + 2


async def test_nobody_decides_while_it_is_found_out_what_became_of_a_group(
    make_writer: MakeWriter, gate: Gate, reader: LogReader
) -> None:
    writer, other, id_ = await trusting(make_writer, gate), await make_writer(), str(uuid.uuid4())
    decided: list[bytes] = []
    await other.append_one(jury(id_))
    await writer.append_one(objective())
    for _ in range(LOOKING_AFTER_A_MISS):
        await writer.append_one(objective())
    head = await reader.head()
    async with asyncio.timeout(20):
        gate.reads = asyncio.Event()
        refused = appends(writer, [jury(id_)])
        await until(lambda: writer._settling)
        later = appends(writer, [counting(objective(), decided) for _ in range(MANY)])
        await until(lambda: writer._queued == MANY)
        assert not decided
        gate.reads.set()
        answers = await asyncio.gather(*refused, *later, return_exceptions=True)
    assert [type(answer) for answer in answers] == [JuryExists, *[Recorded] * MANY]
    assert len(decided) == MANY
    assert await reader.head() == head + MANY


@asynccontextmanager
async def a_group_behind(
    writer: LogWriter, gate: Gate
) -> AsyncIterator[tuple[list[asyncio.Task[Recorded]], list[asyncio.Task[Recorded]]]]:
    """A group of one is held back, and one of many is decided behind it, as long as this lasts."""
    decided: list[bytes] = []
    first = appends(writer, [objective()])
    async with gate.holding():
        later = appends(writer, [counting(objective(), decided) for _ in range(MANY)])
        await until(lambda: len(decided) == MANY)
        yield first, later


async def test_a_writer_that_stops_with_a_group_behind_answers_all(
    make_writer: MakeWriter, gate: Gate, reader: LogReader
) -> None:
    writer = await trusting(make_writer, gate)
    async with asyncio.timeout(20):
        async with a_group_behind(writer, gate) as (first, later):
            queued = appends(writer, [objective()])
            await until(lambda: writer._queued == 1)
            await writer.__aexit__(None, None, None)
            answers = await asyncio.gather(*first, *later, *queued, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * (MANY + 2)
    assert await reader.head() == 1


async def test_a_caller_that_goes_away_while_its_event_waits_to_be_put_does_not_harm_its_group(
    make_writer: MakeWriter, gate: Gate, reader: LogReader
) -> None:
    writer = await trusting(make_writer, gate)
    async with asyncio.timeout(20):
        async with a_group_behind(writer, gate) as (first, later):
            later[3].cancel()
        answers = await asyncio.gather(*first, *later, return_exceptions=True)
    assert [type(answer) for answer in answers].count(Recorded) == MANY
    assert isinstance(answers[4], asyncio.CancelledError)
    assert await reader.head() == 2 + MANY


@pytest.mark.parametrize("breaking", [False, True])
@pytest.mark.parametrize("writers_count", [1, 2])
@pytest.mark.parametrize("seed", range(2))
async def test_many_at_once_are_answered_as_the_log_says(
    make_writer: MakeWriter, reader: LogReader, seed: int, writers_count: int, *, breaking: bool
) -> None:
    """Juries and ids that others may be about to take, alone and in batches, on connections that may break.

    Where one breaks, what was recorded under an id meanwhile may be told to several as theirs, but it is there once.
    """
    chance = random.Random(seed)
    writers = [await make_writer() for _ in range(writers_count)]
    juries = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(60)]
    answers: list[tuple[Proposal, str | None, Any]] = []

    async def caller(chance: random.Random) -> None:
        for _ in range(12):
            wanted = [chance.choice([*juries, None, None]) for _ in range(chance.choice([1, 1, 1, 4]))]
            batch = [
                jury(id_) if id_ else objective(chance.randint(2030, 2031), id_=chance.choice([*"abcdef", None, None]))
                for id_ in wanted
            ]
            writer = chance.choice(writers)
            if breaking and chance.random() < 0.02 and writer._connection is not None:
                writer._connection.terminate()
            try:
                outcomes = await writer.append(batch, atomic=chance.random() < 0.3)
            except Problem as problem:
                index = problem.values["index"]
                batch, wanted, outcomes = [batch[index]], [wanted[index]], [problem]
            answers.extend(zip(batch, wanted, outcomes, strict=True))

    async with asyncio.timeout(60):
        await asyncio.gather(*(caller(random.Random(chance.random())) for _ in range(48)))
    entries = [entry async for page in reader.entries(0, until=await reader.head()) for entry in page]
    assert [entry.position for entry in entries] == list(range(1, len(entries) + 1))
    stored = {entry.position: entry.entry for entry in entries}
    held = Counter(e.data.jury_id for e in (entry.event() for entry in entries) if isinstance(e.data, JuryHeld))
    assert not held or set(held.values()) == {1}
    recorded: dict[bytes, Recorded] = {}
    for proposal, _, answer in answers:
        if isinstance(answer, Recorded) and not answer.repeated:
            assert breaking or proposal.key not in recorded
            recorded[proposal.key] = answer
    assert sorted(answer.position for answer in recorded.values()) == sorted(stored)
    for proposal, jury_id, answer in answers:
        match answer:
            case Recorded():
                assert answer.entry == stored[answer.position]
                assert answer.position == recorded[proposal.key].position
            case JuryExists():
                assert held[jury_id] == 1
                assert stored[answer.values["position"]]
            case IdempotencyConflict():
                assert answer.values["position"] == recorded[proposal.key].position
            case _:
                pytest.fail(f"nobody asked for {answer!r}")
