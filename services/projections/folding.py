"""Batches of a build, read and folded: while one is written, the next one is folded on top of it (0039).

What a fold leaves behind holds for the build as that batch leaves it, and for no other. Nobody has to say that writing
failed: then the build is not what it would have been, and what was folded ahead is not asked for.
"""

import asyncio
import contextlib
from typing import Any, NamedTuple

import asyncpg

from services.projections.batches import Batch, BatchReader
from services.projections.builds import Asked, Build, View
from services.projections.parking import is_poison
from services.projections.writes import Folded
from services.tasks import cancelled


class Ready(NamedTuple):
    """A batch to be written. after: the build with it; folded: None where its events have to be taken one by one."""

    batch: Batch
    after: Build
    folded: Folded | None


class Folding:
    """Reads and folds the batches of a build. What it does ahead it does on connections of the pool."""

    def __init__(self, view: View, pool: asyncpg.Pool, batch_events_max: int) -> None:
        self._view = view
        self._pool = pool
        self._batches = BatchReader(view.facts)
        self._batch_events_max = batch_events_max
        self._ahead: tuple[tuple[Build, int], asyncio.Task[Ready]] | None = None
        self._left: tuple[Build, Any] | None = None

    async def next(self, connection: Asked, build: Build, until: int) -> Ready:
        """The events behind a build, up to a position: done ahead, or now on the connection.

        Where events wait nothing is folded. Raises NotTheLog, and what asyncpg raises.
        """
        if self._ahead is not None and self._ahead[0] == (build, until):
            (_, task), self._ahead = self._ahead, None
            with contextlib.suppress(Exception):  # then it is tried again
                return await task
        await self.close()
        left, self._left = self._left, None
        return await self._fold(connection, build, until, left[1] if left and left[0] == build else None)

    def go_on(self, ready: Ready, until: int) -> None:
        """The batch is being written: fold the next one if it is there, else remember for it what this one left."""
        if ready.folded is None:
            return
        after, state = ready.after, ready.folded.state
        if ready.batch.length < self._batch_events_max or after.position >= until:
            self._left = after, state
        else:
            self._ahead = (after, until), asyncio.create_task(self._fold(self._pool, after, until, state), name="fold")

    async def close(self) -> None:
        """Stop what is done ahead."""
        if self._ahead is not None:
            await cancelled(self._ahead[1])
            self._ahead = None

    async def _fold(self, asked: Asked, build: Build, until: int, before: Any) -> Ready:
        batch = await self._batches.read(asked, build.position, limit=self._batch_events_max, until=until)
        after = build._replace(position=batch.reached, digest=batch.digest(build.digest))
        folded = None
        if not build.parked and batch.decoded is not None:
            try:
                folded = await self._view.fold(asked, build.schema, batch.decoded, before)
            except Exception as error:
                if not is_poison(error):
                    raise
        return Ready(batch, after, folded)
