"""Careers that many lead at once with the same few persons, on connections that take their time: whatever is recorded,
the rules allow on the log before it, asked again one event after the other."""

import asyncio
import random
from typing import Any

import asyncpg
import pytest

from contracts.envelope import decode
from contracts.problems import Problem
from services.audit.rules import command_of
from services.log import transaction
from services.log.reader import LogReader
from services.log.writer import LogWriter
from tests.audit.test_rules import judged
from tests.domain.careers import BEGINNING, VERBS, Career
from tests.log.conftest import MakeWriter, posted

CALLERS, STEPS = 40, 30
LIVING = tuple(verb for verb in VERBS if verb != "erase")
"""What persons may do on and on: of three that are erased nothing more could come."""
LATENCIES_S = (0.0, 0.0, 0.0, 0.001, 0.004)


def slow(chance: random.Random) -> type[asyncpg.Connection]:
    """Connections whose statements and answers are on their way for a while."""

    class Slow(asyncpg.Connection):  # type: ignore[misc]
        async def fetch(self, *arguments: Any, **options: Any) -> Any:
            await asyncio.sleep(chance.choice(LATENCIES_S))
            rows = await super().fetch(*arguments, **options)
            await asyncio.sleep(chance.choice(LATENCIES_S))
            return rows

        async def fetchval(self, *arguments: Any, **options: Any) -> Any:
            await asyncio.sleep(chance.choice(LATENCIES_S))
            value = await super().fetchval(*arguments, **options)
            await asyncio.sleep(chance.choice(LATENCIES_S))
            return value

    return Slow


@pytest.mark.parametrize("facts_max", [50, 100_000], ids=["much is forgotten", "all is kept"])
@pytest.mark.parametrize("writers_count", [1, 2])
@pytest.mark.parametrize("seed", range(2))
async def test_what_many_do_at_once_the_rules_allow_one_after_the_other(
    make_writer: MakeWriter,
    reader: LogReader,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    writers_count: int,
    facts_max: int,
) -> None:
    monkeypatch.setattr(transaction, "CACHED_FACTS_MAX", facts_max)
    chance, career = random.Random(seed), Career()
    writers: list[LogWriter] = [await make_writer(connection_class=slow(chance)) for _ in range(writers_count)]
    await writers[0].append([posted(command_of(fact)) for fact in BEGINNING])
    refused = 0

    async def caller(chance: random.Random) -> None:
        nonlocal refused
        for _ in range(STEPS):
            step = chance.choice(LIVING), chance.randint(0, 11), chance.randint(0, 11), chance.choice((0, 0, 1, 5))
            for command, _ in career.commands(step):
                try:
                    recorded = await chance.choice(writers).append_one(posted(command))
                except Problem:
                    refused += 1
                else:
                    career.happened(decode(recorded.entry).data)

    await asyncio.gather(*(caller(random.Random(chance.random())) for _ in range(CALLERS)))
    entries = [entry.entry async for page in reader.entries(0, until=await reader.head()) for entry in page]
    assert judged(entries) == []
    assert len(entries) > CALLERS
    assert refused > CALLERS
