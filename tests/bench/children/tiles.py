"""The transparency log as a contestant. Usage: python -m tests.bench.children.tiles URL FOLDER."""

import itertools
import random
import shutil
import sys
import time
from pathlib import Path

import asyncpg
import uvloop

from services.log.listener import Listener
from services.projections.transparency.disk import Disk
from services.projections.transparency.guard import Guard
from services.projections.transparency.note import Signer, new_key
from services.projections.transparency.published import Published
from services.projections.transparency.publisher import Publisher
from tests.bench import load
from tests.bench.child import answer
from tests.bench.measure import Sample


class Contestant:
    """A log, and folders that it is published into, with fsync as in the product."""

    def __init__(self, url: str, pool: asyncpg.Pool, place: Path) -> None:
        self._news = Listener(lambda: asyncpg.connect(url))
        self._pool = pool
        self._place = place
        self._signer = Signer(new_key("log.example/bench"))
        self._numbers = itertools.count()
        self._whole: Path | None = None

    async def publish(self, seconds: float) -> Sample:
        """The whole log into an empty folder, however long it takes: once, and again until the seconds are over."""
        entries, began, cpu_began = 0, time.perf_counter(), time.process_time()
        while not entries or time.perf_counter() - began < seconds:
            folder, published = await self._published()
            entries += published
            if self._whole is not None:
                shutil.rmtree(self._whole)
            self._whole = folder
        cpu_s = time.process_time() - cpu_began
        return Sample(operations=entries, seconds=time.perf_counter() - began, cpu_s=cpu_s)

    async def prove(self, callers: int, seconds: float) -> Sample:
        """Proofs of inclusion of entries anywhere in the log."""
        if self._whole is None:
            self._whole, _ = await self._published()
        published = Published(self._whole)
        size = (await published.checkpoint()).checkpoint.size

        async def prove() -> bool:
            return bool(await published.proof(random.randrange(size) + 1))

        return await load.tasks(prove, callers, seconds)

    async def _published(self) -> tuple[Path, int]:
        folder = self._place / str(next(self._numbers))
        guard = Guard(self._place / f"{folder.name}.guard", self._signer)
        publisher = Publisher(self._pool, self._news, Disk(folder), guard)
        while await publisher.step():
            pass
        return folder, guard.last().size


async def main(url: str, place: str) -> None:
    async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
        of = Contestant(url, pool, Path(place))
        await answer(publish=of.publish, prove=of.prove)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
