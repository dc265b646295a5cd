"""What a writer takes for granted: whenever it is not so, that is found out before anybody is answered."""

import random
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
import pytest
import structlog
from eventsourcing.dcb.domain import Slice

from contracts.facts import Fact
from contracts.problems import Bug, IdempotencyConflict, Problem
from contracts.refusals import JuryExists
from services.log.proposal import Circumstances, Outcome, Proposal, Recorded
from services.log.reader import RECORDED_WITHIN, LogReader
from services.log.writer import LogWriter
from tests.log.conftest import MakeWriter, jury, objective

LOOK, PUT, TRUSTING_PUT = "look", "put", "trusting put"


class Told(asyncpg.Connection):  # type: ignore[misc]
    """A connection that notes the statements of groups."""

    statements: list[str]

    async def fetch(self, query: str, *args: Any, **kwargs: Any) -> Any:
        self._note(query)
        return await super().fetch(query, *args, **kwargs)

    async def fetchval(self, query: str, *args: Any, **kwargs: Any) -> Any:
        self._note(query)
        return await super().fetchval(query, *args, **kwargs)

    def _note(self, query: str) -> None:
        kinds = {"AS what": LOOK, "THEN NULL": TRUSTING_PUT, "SELECT log.put": PUT}
        self.statements += [kind for mark, kind in kinds.items() if mark in query]


@pytest.fixture
def told() -> type[Told]:
    class Own(Told):
        statements = []

    return Own


async def test_the_first_group_of_a_connection_looks(make_writer: MakeWriter, told: type[Told]) -> None:
    writer = await make_writer(connection_class=told)
    await writer.append_one(objective())
    assert told.statements == [LOOK, PUT]


async def test_new_ids_and_known_boundaries_take_one_statement(make_writer: MakeWriter, told: type[Told]) -> None:
    writer = await make_writer(connection_class=told)
    for _ in range(3):
        await writer.append_one(jury(str(uuid.uuid4())))
    assert told.statements == [LOOK, PUT, TRUSTING_PUT, TRUSTING_PUT]


async def test_a_used_id_is_found_by_the_put_and_refused_after_a_look(
    make_writer: MakeWriter, told: type[Told], reader: LogReader
) -> None:
    """J3, of a jury that this writer has never heard of."""
    other, id_ = await make_writer(), str(uuid.uuid4())
    await other.append_one(jury(id_))
    writer = await make_writer(connection_class=told)
    await writer.append_one(objective())
    told.statements.clear()
    with pytest.raises(JuryExists):
        await writer.append_one(jury(id_))
    assert told.statements == [TRUSTING_PUT, LOOK]
    assert await reader.head() == 2


async def test_a_refusal_of_known_facts_is_given_after_a_look(make_writer: MakeWriter, told: type[Told]) -> None:
    """Only what is put finds out whether another writer came between."""
    writer, id_ = await make_writer(connection_class=told), str(uuid.uuid4())
    await writer.append_one(jury(id_))
    told.statements.clear()
    with pytest.raises(JuryExists):
        await writer.append_one(jury(id_))
    assert told.statements == [LOOK]


async def test_a_repeat_is_found_by_its_key(make_writer: MakeWriter, told: type[Told], reader: LogReader) -> None:
    writer = await make_writer(connection_class=told)
    first = await writer.append_one(objective(id_="a"))
    await writer.append_one(objective(id_="b"))
    told.statements.clear()
    assert await writer.append_one(objective(id_="a")) == first._replace(repeated=True)
    assert told.statements == [TRUSTING_PUT, LOOK]
    assert await reader.head() == 2


async def test_a_repeat_that_a_rule_refuses_by_now_is_a_repeat(writer: LogWriter) -> None:
    """I1 comes before every other rule: the jury exists, for this very command recorded it."""
    command = jury(str(uuid.uuid4()))
    first = await writer.append_one(command)
    await writer.append_one(objective())
    assert await writer.append_one(command) == first._replace(repeated=True)


async def test_what_another_writer_appended_is_looked_up(make_writer: MakeWriter, told: type[Told]) -> None:
    writer, other = await make_writer(connection_class=told), await make_writer()
    for _ in range(2):
        await writer.append_one(objective())
    await other.append_one(objective())
    told.statements.clear()
    assert (await writer.append_one(objective())).position == 4
    assert told.statements == [TRUSTING_PUT, LOOK, PUT]


async def test_after_a_refusal_a_writer_trusts_again_and_remembers(make_writer: MakeWriter, told: type[Told]) -> None:
    """A group looks once for each proposal of the one that was in doubt. What was known before still is."""
    writer, id_ = await make_writer(connection_class=told), str(uuid.uuid4())
    await writer.append([jury(id_)])
    outcomes = await writer.append([objective(), jury(id_), objective()])
    assert [type(outcome) for outcome in outcomes] == [Recorded, JuryExists, Recorded]
    told.statements.clear()
    for _ in range(4):
        await writer.append_one(objective())
    assert told.statements == [LOOK, PUT] * 2 + [TRUSTING_PUT] * 2


async def test_a_bug_is_told_once(writer: LogWriter) -> None:
    await writer.append_one(objective())
    broken = Proposal(lambda _: objective().nothing, objective().encode, b"k" * 32, b"c" * 32)  # type: ignore[attr-defined]
    with structlog.testing.capture_logs() as told, pytest.raises(Bug):
        await writer.append_one(broken)
    assert [line["event"] for line in told] == ["a decision failed"]


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_through_any_writers_is_as_through_one(
    make_writer: MakeWriter, reader: LogReader, seed: int
) -> None:
    """Juries that may exist, ids that may be taken, alone and in batches: as the log before asks."""
    chance = random.Random(seed)
    writers = [await make_writer() for _ in range(3)]
    juries, taken = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(40)], [*"abcdefghij"]
    log = Model()
    for _ in range(80):
        batch = [
            jury(chance.choice(juries))
            if chance.random() < 0.5
            else objective(beneficiaries=chance.randint(1, 2), id_=chance.choice([*taken, None, None, None]))
            for _ in range(chance.choice([1, 1, 1, 3, 8]))
        ]
        atomic = chance.random() < 0.3
        expected = log.append(batch, atomic=atomic)
        try:
            outcomes = await chance.choice(writers[: chance.choice([1, 3])]).append(batch, atomic=atomic)
        except Problem as problem:
            outcomes = [problem]
        assert [_told(outcome) for outcome in outcomes] == expected
    assert await reader.head() == log.head


def _told(outcome: Outcome) -> Any:
    return (outcome.position, outcome.repeated) if isinstance(outcome, Recorded) else type(outcome)


class Model:
    """The log, as simple as can be: which key and which jury stands where."""

    def __init__(self) -> None:
        self.head = 0
        self.keys: dict[bytes, tuple[bytes, int]] = {}
        self.juries: set[str] = set()

    def append(self, batch: list[Proposal], *, atomic: bool) -> list[Any]:
        before = self.head, dict(self.keys), set(self.juries)
        answers = []
        for proposal in batch:
            answers.append(self._append(proposal))
            if atomic and isinstance(answers[-1], type):
                self.head, self.keys, self.juries = before
                return answers[-1:]
        return answers

    def _append(self, proposal: Proposal) -> Any:
        if (known := self.keys.get(proposal.key)) is not None:
            return (known[1], True) if known[0] == proposal.content else IdempotencyConflict
        command = proposal.decide.__closure__  # the command is what a proposal closes over
        jury_id = next((c.cell_contents.jury_id for c in command or () if hasattr(c.cell_contents, "jury_id")), None)
        if jury_id in self.juries:
            return JuryExists
        self.juries |= {jury_id} - {None}
        self.head += 1
        self.keys[proposal.key] = (proposal.content, self.head)
        return self.head, False


async def test_a_writer_stopped_before_its_put_takes_its_time_anew(
    make_writer: MakeWriter, told: type[Told], reader: LogReader
) -> None:
    """Meanwhile readers may have been told what was recorded by the time that it took first. Not so behind the lock."""
    writer = await make_writer(connection_class=told)
    await writer.append_one(objective())
    told.statements.clear()
    stood_still: list[datetime] = []

    def decide_slowly(circumstances: Circumstances) -> Slice[Fact]:
        if len(stood_still) < 2:
            time.sleep(1.2 * RECORDED_WITHIN.total_seconds())
            stood_still.append(datetime.now(UTC))
        return proposal.decide(circumstances)

    proposal = objective()
    recorded = await writer.append_one(msgspec.structs.replace(proposal, decide=decide_slowly))
    assert told.statements == [TRUSTING_PUT, LOOK, PUT, LOOK, PUT]
    entry = await reader.entry(recorded.position)
    assert entry is not None
    assert entry.event().recorded_at >= stood_still[1]
