"""The log as a contestant. Usage: python -m tests.bench.children.log URL SCATTERED SINGLES (persons, as JSON)."""

import math
import sys
import time
from collections.abc import Callable
from functools import partial

import asyncpg
import msgspec
import uvloop

from contracts.problems import Problem
from services.log.proposal import Proposal
from services.log.reader import LogReader
from services.log.transaction import CONNECTION_SETTINGS
from services.log.writer import LogWriter
from services.registry.domain.reference import Reference
from tests.bench import load
from tests.bench.candidates import Candidates, Persons, bare
from tests.bench.child import answer
from tests.bench.measure import Sample

READERS = 64


class Contestant:
    """A writer and a reader on one log."""

    def __init__(self, url: str, pool: asyncpg.Pool, persons: dict[str, Persons]) -> None:
        self._connect = partial(asyncpg.connect, url, server_settings=CONNECTION_SETTINGS)
        self._pool = pool
        self._persons = persons
        self._candidates = {name: Candidates(some) for name, some in persons.items()}

    async def __aenter__(self) -> "Contestant":
        self._writer = await LogWriter(self._connect, Reference()).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._writer.__aexit__()

    async def know(self, persons: str, count: int) -> Sample:
        """Read the boundaries of so many of these persons, who are from now on those of "known …"."""
        self._persons[persons], self._persons[f"known {persons}"] = self._persons[persons].split(count)
        self._candidates = {name: Candidates(some) for name, some in self._persons.items()}
        return await self.remember(f"known {persons}")

    async def remember(self, persons: str) -> Sample:
        """Begin anew with a writer that knows the boundaries of these persons and nothing else."""
        await self.__aexit__()
        await self.__aenter__()
        known = self._persons[persons]
        return await load.tasks(partial(self._refused, Candidates(known).refused), READERS, math.inf, known.count)

    async def decide(self, persons: str, callers: int, seconds: float, limit: int | None = None) -> Sample:
        """Full decisions."""
        return await load.tasks(partial(self._recorded, self._candidates[persons].proposal), callers, seconds, limit)

    async def bare(self, callers: int, seconds: float) -> Sample:
        """Conditional appends and nothing else."""
        return await load.tasks(partial(self._recorded, bare), callers, seconds)

    async def read(self, persons: str, callers: int, seconds: float, limit: int | None = None) -> Sample:
        """Boundaries read and folded: decisions that are refused in the end."""
        return await load.tasks(partial(self._refused, self._candidates[persons].refused), callers, seconds, limit)

    async def replay(self, seconds: float, *, decoded: bool) -> Sample:
        """The whole log, in pages, however long it takes: once, and again until the seconds are over."""
        reader = LogReader(self._pool)
        entries, began, cpu_began = 0, time.perf_counter(), time.process_time()
        while not entries or time.perf_counter() - began < seconds:
            async for page in reader.entries(0, until=await reader.head()):
                if decoded:
                    for entry in page:
                        entry.event()
                entries += len(page)
        cpu_s = time.process_time() - cpu_began
        return Sample(operations=entries, seconds=time.perf_counter() - began, cpu_s=cpu_s)

    async def copy_out(self, seconds: float) -> Sample:
        """COPY of the same columns to nowhere, neither parsed nor looked at."""
        entries, began, cpu_began = 0, time.perf_counter(), time.process_time()
        while not entries or time.perf_counter() - began < seconds:
            status = await self._pool.copy_from_table(
                "event", schema_name="log", columns=["position", "type", "entry"], output=_drop, format="binary"
            )
            entries += int(status.rpartition(" ")[2])
        cpu_s = time.process_time() - cpu_began
        return Sample(operations=entries, seconds=time.perf_counter() - began, cpu_s=cpu_s)

    async def _recorded(self, proposal: Callable[[], Proposal]) -> bool:
        try:
            await self._writer.append_one(proposal())
        except Problem:
            return False
        return True

    async def _refused(self, proposal: Callable[[], Proposal]) -> bool:
        return not await self._recorded(proposal)


async def _drop(_: bytes) -> None:
    pass


async def main(url: str, scattered: Persons, singles: Persons) -> None:
    persons = {"scattered": scattered} | ({"singles": singles} if singles.count else {})
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as pool, Contestant(url, pool, persons) as of:
        await answer(
            know=of.know,
            remember=of.remember,
            decide=of.decide,
            bare=of.bare,
            read=of.read,
            replay=of.replay,
            copy_out=of.copy_out,
        )


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], *(msgspec.json.decode(text, type=Persons) for text in sys.argv[2:4])))
