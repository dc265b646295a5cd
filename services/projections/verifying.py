"""Proves a view right or says what is wrong: folds the log again into temporary tables, and compares every row."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import asyncpg

from services.projections.batches import Batch, BatchReader, NotTheLog
from services.projections.builds import NOTHING, Build, Connection, View, create_tables, read_build
from services.projections.comparing import Comparison, Side, compare, snapshot
from services.projections.events import Placed
from services.projections.parking import Parking, apply_one_by_one, is_poison
from services.projections.writes import apply

BATCH_EVENTS_MAX = 2_000
TEMPORARY = "pg_temp"

_PARKED = "SELECT DISTINCT position FROM projections.parked WHERE schema = $1"

Told = Callable[[int, int], None]
"""Called with how far the work has come, and how far it goes."""


class Verdict(NamedTuple):
    """What a view is found to be. history: whether it was made of the events that the log has now."""

    build: Build
    comparison: Comparison
    history: bool

    @property
    def right(self) -> bool:
        """Every row is as the log says, and nothing waits."""
        return self.history and not self.comparison.different and not self.build.parked

    def lines(self) -> Sequence[str]:
        """The verdict in words."""
        build, comparison = self.build, self.comparison
        lines = [str(difference) for difference in comparison.differences]
        if comparison.different > len(comparison.differences):
            lines.append(f"… {comparison.different - len(comparison.differences)} more")
        if not self.history:
            lines.append(f"{build.name} was not made of the events that the log has now: digests differ")
        if build.parked:
            lines.append(f"{build.parked} events wait for a repair: see GET /v1/ops/followers, then unpark")
        if comparison.different:
            lines.append(f"{build.name} differs from the log in {comparison.different} keys at {build.position}")
        elif self.history:
            lines.append(
                f"{build.name} equals the log at position {build.position}: {build.events} events,"
                f" {comparison.rows} rows, digest {comparison.digest}"
            )
        return lines


class Verification:
    """Folds the log again, on one connection and in bounded memory. Followers go on meanwhile."""

    def __init__(self, view: View, pool: asyncpg.Pool, *, batch_events_max: int = BATCH_EVENTS_MAX) -> None:
        self._view = view
        self._pool = pool
        self._batches = BatchReader(view.facts)
        self._batch_events_max = batch_events_max
        self._digest = NOTHING
        self._events = 0
        self._position = 0
        self._parked: frozenset[int] = frozenset()

    async def run(self, told: Told = lambda _, __: None) -> Verdict:
        """The verdict on the live build. Raises Poison for an event that is not parked, LookupError without a build,
        NotTheLog when the log has a gap or ends before the view."""
        async with self._pool.acquire() as copying:
            try:
                await self._begin(copying, told)
                async with snapshot(self._pool) as reading:
                    build, parked = await self._live(reading)
                    if {position for position in parked if position <= self._position} != self._parked:
                        await self._begin(copying, told)  # some were played meanwhile
                    self._parked = parked
                    await self._fold(copying, build.position, told)
                    comparison = await compare(Side(reading, build.schema), Side(copying, TEMPORARY))
                history = self._digest == build.digest and self._events == build.events + build.parked
                return Verdict(build, comparison, history)
            finally:
                if not copying.is_closed():
                    await copying.execute("DISCARD TEMP")

    async def _live(self, reading: Connection) -> tuple[Build, frozenset[int]]:
        """The live build, and the positions that it leaves out. Within a snapshot."""
        build = await read_build(reading, self._view.name)
        if build is None or (build.version, build.layout) != (self._view.version, self._view.layout):
            raise LookupError(f"{self._view.name} has no tables of version {self._view.version}: rebuild it")
        return build, frozenset(row[0] for row in await reading.fetch(_PARKED, build.schema))

    async def _begin(self, copying: Connection, told: Told) -> None:
        """Fold into empty tables, up to where the live ones are about now: what comes later is little."""
        await copying.execute("DISCARD TEMP")
        async with copying.transaction():
            await create_tables(copying, self._view, TEMPORARY)
        self._digest, self._events, self._position = NOTHING, 0, 0
        async with snapshot(self._pool) as reading:
            build, self._parked = await self._live(reading)
        await self._fold(copying, build.position, told)

    async def _fold(self, copying: Connection, until: int, told: Told) -> None:
        while self._position < until:
            batch = await self._batches.read(self._pool, self._position, limit=self._batch_events_max, until=until)
            if not batch.length:
                raise NotTheLog(f"the log ends at {self._position}, {self._view.name} is at {until}")
            await self._apply(copying, batch)
            self._digest = batch.digest(self._digest)
            self._events += len(batch.stored)
            self._position = batch.reached
            told(self._position, until)

    async def _apply(self, copying: Connection, batch: Batch) -> None:
        events = [event for event in batch.events_one_by_one() if event.position not in self._parked]
        readable = [event for event in events if isinstance(event, Placed)]
        try:
            if len(readable) == len(events):
                async with copying.transaction():
                    await apply(copying, self._view, TEMPORARY, readable)
                return
        except Exception as error:
            if not is_poison(error):
                raise
        async with copying.transaction():  # once more, to name the event
            parking = Parking(copying, self._view, TEMPORARY, strict=True)
            await apply_one_by_one(copying, self._view, TEMPORARY, events, parking)
