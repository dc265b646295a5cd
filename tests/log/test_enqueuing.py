"""Units that one caller enqueues one behind the other: what is recorded of them is always the first of them."""

import asyncio

import asyncpg
import pytest

from contracts.problems import Bug, Problem, Unavailable
from services.log import writer as writer_module
from services.log.proposal import Answer, Recorded
from services.log.reader import LogReader
from services.log.writer import LogWriter, outcomes_of
from tests.log.conftest import MakeWriter, jury, objective

NOT_TO_BE_STORED = "\x00"
"""PostgreSQL takes no text with it. No caller can send it: ids have their form."""


async def problem_of(answer: Answer) -> type[Problem] | None:
    return None if isinstance(result := await answer, list) else type(result)


async def test_units_are_recorded_in_the_order_in_which_they_are_enqueued(writer: LogWriter, reader: LogReader) -> None:
    answer = None
    answers = [answer := writer.enqueue([objective(), objective()], after=answer) for _ in range(200)]
    positions = [o.position for answer in answers for o in await outcomes_of(answer) if isinstance(o, Recorded)]
    assert positions == list(range(1, 401))


async def test_a_unit_behind_one_that_the_log_cannot_take_is_not_recorded(writer: LogWriter, reader: LogReader) -> None:
    first = writer.enqueue([jury(NOT_TO_BE_STORED)])
    second = writer.enqueue([objective()], after=first)
    third = writer.enqueue([objective()], after=second)
    others = writer.enqueue([objective()])
    assert [await problem_of(answer) for answer in (first, second, third, others)] == [Bug, Bug, Bug, None]
    assert await reader.head() == 1


async def test_a_unit_behind_one_whose_command_is_refused_is_recorded(writer: LogWriter, reader: LogReader) -> None:
    first = writer.enqueue([jury("j"), jury("j")])
    assert await problem_of(writer.enqueue([objective()], after=first)) is None
    assert await reader.head() == 2


async def test_a_unit_behind_one_that_met_an_outage_is_not_recorded(
    make_writer: MakeWriter, reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the log is within reach again when its turn comes."""
    monkeypatch.setattr(writer_module, "OUTAGE_S", 0.2)
    monkeypatch.setattr(writer_module, "GROUP_PROPOSALS_MAX", 1)
    writer: LogWriter = await make_writer()
    connect, answers = writer._connect, list[Answer]()

    async def unreachable_at_first() -> asyncpg.Connection:
        if not answers[0].done():
            raise ConnectionRefusedError
        return await connect()

    writer._connect = unreachable_at_first
    answers.append(writer.enqueue([objective()]))
    answers.append(writer.enqueue([objective()], after=answers[0]))
    answers.append(writer.enqueue([objective()]))
    assert [await problem_of(answer) for answer in answers] == [Unavailable, Unavailable, None]
    assert await reader.head() == 1


async def test_whoever_goes_away_leaves_nothing_that_waits(writer: LogWriter, reader: LogReader) -> None:
    first = writer.enqueue([objective()])
    second = writer.enqueue([objective()], after=first)
    others = writer.enqueue([objective()])
    first.cancel()
    assert await problem_of(others) is None
    with pytest.raises(asyncio.CancelledError):
        await second
    assert await reader.head() == 1
