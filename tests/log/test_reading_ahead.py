"""What is read for a group while another is put: it lacks nothing that is recorded before it is answered."""

import asyncio
import uuid
from datetime import date

import pytest
from eventsourcing.dcb.domain import Selector, Slice
from eventsourcing.domain import event

from contracts.facts import Fact, RegistrationClosed
from contracts.facts import fact as tags
from services.log.reader import LogReader
from services.log.writer import AHEAD_PROPOSALS_MIN
from tests.log.ahead import MANY, appends, counting, deciding, rectified, registered, trusting, until
from tests.log.conftest import MakeWriter, objective
from tests.log.gate import Gate

pytestmark = pytest.mark.usefixtures("unhurried")


@pytest.mark.parametrize("committed", [True, False])
async def test_what_is_not_known_is_read_while_a_group_is_put(
    make_writer: MakeWriter, gate: Gate, reader: LogReader, *, committed: bool
) -> None:
    """Whether it is read with the first group's facts or without them."""
    persons = await registered(await make_writer())
    writer = await trusting(make_writer, gate)
    await writer.append_one(rectified(persons[0], 1))
    head = await reader.head()
    async with asyncio.timeout(20):
        first = appends(writer, [rectified(persons[0], 2)])
        async with gate.holding(answers=committed):
            later = appends(writer, [rectified(id_, 3) for id_ in persons])
            await until(lambda: gate.reads_meanwhile == 1)
            assert not any(post.done() for post in (*first, *later))
            await until(lambda: writer._ahead is not None)
        recorded = await asyncio.gather(*first, *later)
    assert [r.position for r in recorded] == list(range(head + 1, head + MANY + 2))
    assert gate.put_sizes[-1] == MANY


class Closing(Slice[Fact]):
    """Closes a registration without a look at its person, or else notes what has happened to that person's."""

    def __init__(self, person_id: str, closings: list[int] | None = None) -> None:
        self._person_id = person_id
        self._closings = closings
        self._positions: list[int] = []
        self._registration_id = str(uuid.uuid4())

    def consistency_boundary(self) -> Selector:
        tag = tags.registration(self._registration_id) if self._closings is None else tags.person(self._person_id)
        return Selector(types=(RegistrationClosed,), tags=(tag,))

    @event(RegistrationClosed)
    def _(self) -> None:
        self._positions.append(self.last_known_position or 0)

    def execute(self) -> None:
        if self._closings is not None:
            self._closings[:] = self._positions
        self.trigger_event(
            RegistrationClosed,
            registration_id=self._registration_id,
            reason="WITHDRAWN",
            closed_on=date(2020, 1, 1),
            person_id=self._person_id,
            certification_id="cqpm-1",
        )


async def test_what_was_read_without_a_group_that_is_recorded_by_then_has_its_facts(
    make_writer: MakeWriter, gate: Gate, reader: LogReader
) -> None:
    """Though of its facts only those are kept, as a rule, whose tags were read before."""
    writer = await trusting(make_writer, gate)
    person_id, closings = str(uuid.uuid4()), list[int]()
    gate.read_answers = asyncio.Event()
    async with asyncio.timeout(20):
        gate.read_answers.set()
        first = appends(writer, [deciding(lambda: Closing(person_id))])
        async with gate.holding():
            gate.read_answers.clear()
            answered = gate.reads_answered
            later = appends(
                writer, [deciding(lambda: Closing(person_id, closings)), *(objective() for _ in range(MANY))]
            )
            await until(lambda: gate.reads_answered > answered)
        (recorded,) = await asyncio.gather(*first)
        gate.read_answers.set()
        await asyncio.gather(*later)
    assert closings == [recorded.position]


async def test_what_is_read_while_another_writer_comes_between_is_not_used(
    make_writer: MakeWriter, gate: Gate, reader: LogReader
) -> None:
    persons = await registered(other := await make_writer())
    writer = await trusting(make_writer, gate)
    head = await reader.head()
    async with asyncio.timeout(20):
        first = appends(writer, [objective()])
        async with gate.holding():
            await other.append_one(objective())
            later = appends(writer, [rectified(id_, 1) for id_ in persons])
            await until(lambda: gate.reads_meanwhile == 1)
        recorded = await asyncio.gather(*first, *later)
    assert sorted(r.position for r in recorded) == list(range(head + 2, head + MANY + 3))


async def test_a_group_that_reads_while_the_one_before_it_fails_is_decided_again(
    make_writer: MakeWriter, gate: Gate, reader: LogReader
) -> None:
    persons = await registered(await make_writer())
    writer, decided = await trusting(make_writer, gate), list[bytes]()
    head = await reader.head()
    async with asyncio.timeout(20):
        posts = appends(writer, [objective(id_="first")])
        async with gate.holding() as passing:
            posts += appends(writer, [counting(objective(id_=str(n)), decided) for n in range(AHEAD_PROPOSALS_MIN)])
            await until(lambda: len(decided) == AHEAD_PROPOSALS_MIN)
            gate.reads = asyncio.Event()
            posts += appends(writer, [rectified(id_, 1) for id_ in persons])
            await until(lambda: gate.reads_meanwhile == 1)
            passing.set_exception(ConnectionResetError())
            await until(lambda: writer._settling)
            gate.reads.set()
        recorded = await asyncio.gather(*posts)
    assert sorted(r.position for r in recorded) == list(range(head + 1, head + len(posts) + 1))
    assert not any(r.repeated for r in recorded)
    assert len(decided) > AHEAD_PROPOSALS_MIN
