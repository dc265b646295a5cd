"""How much waits and how much is put at once: a full queue refuses, and large events keep nobody waiting."""

import asyncio
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from contracts.envelope import ENTRY_BYTES_MAX, Envelope, encode
from contracts.facts import Fact
from contracts.problems import Unavailable
from services.log import writer as writer_module
from services.log.group import GROUP_BYTES_MAX
from services.log.proposal import Outcome, Proposal, Recorded
from services.log.reader import LogReader
from services.log.writer import LogWriter
from tests.log.conftest import MakeWriter, objective


async def test_a_full_queue_answers_503(writer: LogWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "QUEUE_PROPOSALS_MAX", 10)
    with pytest.raises(Unavailable) as unavailable:
        await writer.append([objective() for _ in range(11)])
    assert unavailable.value.retry_after_s > 0
    assert len(await writer.append([objective() for _ in range(10)])) == 10


async def test_a_queue_that_is_full_with_others_answers_503_until_it_is_not(
    writer: LogWriter, reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "QUEUE_PROPOSALS_MAX", 10)
    answers = await asyncio.gather(*(writer.append_one(objective()) for _ in range(15)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Recorded] * 10 + [Unavailable] * 5
    assert (await writer.append_one(objective())).position == 11


def large(bytes_: int = 60_000) -> Proposal:
    """A command whose event has about so many bytes."""
    small = objective()

    def encoded(fact: Fact, position: int, recorded_at: datetime) -> bytes:
        id_ = "x" * (bytes_ // 2)  # it is the subject too
        return encode(Envelope(id=id_, source="urn:test", authid="tests"), fact, position, recorded_at)

    return Proposal(small.decide, encoded, small.key, small.content)


def noting(put_bytes: list[int]) -> type[asyncpg.Connection]:
    """A connection that notes how many bytes of entries each group puts, if it is recorded and not decided again."""

    class Noting(asyncpg.Connection):  # type: ignore[misc]
        async def fetchval(self, query: str, *args: Any, **kwargs: Any) -> Any:
            answer = await super().fetchval(query, *args, **kwargs)
            if "log.put" in query and answer is not None and answer > 0:
                put_bytes.append(sum(map(len, args[5])))
            return answer

    return Noting


async def test_a_group_takes_no_more_large_events_than_it_should(make_writer: MakeWriter, reader: LogReader) -> None:
    """Who posts a small event beside many large ones waits for some of them, not for all."""
    put_bytes: list[int] = []
    writer = await make_writer(connection_class=noting(put_bytes))
    recorded = await asyncio.gather(*(writer.append_one(large()) for _ in range(200)))
    assert [r.position for r in recorded] == list(range(1, 201))
    assert len(put_bytes) == 3
    assert max(put_bytes) < GROUP_BYTES_MAX + ENTRY_BYTES_MAX
    assert await reader.head() == 200


async def test_a_group_takes_all_small_events_that_wait(make_writer: MakeWriter) -> None:
    put_bytes: list[int] = []
    writer = await make_writer(connection_class=noting(put_bytes))
    await asyncio.gather(*(writer.append_one(objective()) for _ in range(200)))
    assert len(put_bytes) == 1


async def test_large_batches_do_not_keep_small_events_waiting(writer: LogWriter, reader: LogReader) -> None:
    """A thousand events of nearly the largest size, and one post after the other beside them."""
    between = []

    async def post_until(batch: asyncio.Task[list[Outcome]]) -> None:
        while not batch.done():
            between.append((await writer.append_one(objective())).position)

    async with asyncio.TaskGroup() as tasks:
        batch = tasks.create_task(writer.append([large(64_000) for _ in range(1_000)]))
        tasks.create_task(post_until(batch))
    positions = [outcome.position for outcome in batch.result() if isinstance(outcome, Recorded)]
    assert positions == sorted(positions)
    assert len(positions) == 1_000
    assert len([position for position in between if position < positions[-1]]) >= 5
    assert await reader.head() == 1_000 + len(between)


async def test_an_atomic_batch_is_one_piece_however_large(writer: LogWriter) -> None:
    outcomes, *_ = await asyncio.gather(
        writer.append([large() for _ in range(300)], atomic=True),
        *(writer.append([objective()]) for _ in range(20)),
    )
    positions = [outcome.position for outcome in outcomes if isinstance(outcome, Recorded)]
    assert positions == list(range(positions[0], positions[0] + 300))
