"""UmaDB as a contestant, through its own client. Usage: python -m tests.bench.children.uma PORT."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import umadb

from tests.bench import load
from tests.bench.candidates import BARE_ENTRY, BARE_TYPE, bare_tags
from tests.bench.child import answer
from tests.bench.measure import Sample

PAGE = 1_000

_EVENTS = """
SELECT e.position, y.name, e.entry, ARRAY(SELECT t.tag FROM log.tag t WHERE t.position = e.position) AS tags
FROM log.event e JOIN log.type y ON y.id = e.type ORDER BY e.position
"""


class Contestant:
    """One client for each thread, kept."""

    def __init__(self, port: str) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._clients: list[umadb.Client] = []

    async def preload(self, url: str) -> Sample:
        """Append all events of a log."""
        began, events = time.perf_counter(), 0
        (client,) = self._first(1)
        connection = await asyncpg.connect(url)
        async with connection.transaction():  # tags by position have no index in the log, on purpose
            await connection.execute("CREATE INDEX preload ON log.tag (position)")
            async for batch in _batches(connection):
                client.append(batch)
                events += len(batch)
            await connection.execute("DROP INDEX log.preload")
        await connection.close()
        return Sample(operations=events, seconds=time.perf_counter() - began)

    async def append(self, callers: int, seconds: float) -> Sample:
        """Conditional appends: no event may have the first tag."""
        return load.threads([partial(_append, client) for client in self._first(callers)], seconds)

    def _first(self, count: int) -> list[umadb.Client]:
        while len(self._clients) < count:
            self._clients.append(umadb.Client(self._url))
        return self._clients[:count]


async def _batches(connection: asyncpg.Connection) -> AsyncIterator[list[umadb.Event]]:
    batch: list[umadb.Event] = []
    async for _, type_, entry, tags in connection.cursor(_EVENTS, prefetch=PAGE):
        batch.append(umadb.Event(type_, entry, tags))
        if len(batch) == PAGE:
            yield batch
            batch = []
    if batch:
        yield batch


def _append(client: umadb.Client) -> None:
    tags = list(bare_tags())
    none = umadb.Query([umadb.QueryItem(types=[BARE_TYPE], tags=tags[:1])])
    client.append([umadb.Event(BARE_TYPE, BARE_ENTRY, tags)], umadb.AppendCondition(none, None))


if __name__ == "__main__":
    contestant = Contestant(sys.argv[1])
    asyncio.run(answer(preload=contestant.preload, append=contestant.append))
