"""The one loop for every view: read the log behind my position, fold a batch, save rows and position together.

Two runners, a crash or a retry cannot apply twice or leave out: the position moves in the transaction of the rows, only
from the value that this runner has read, and only while it holds the lease. The log has no gaps, so a batch that has
one was not read from it. An event that the fold cannot take is parked with its keys (parking.py).
"""

import asyncio
import time
from collections.abc import Sequence

import asyncpg
import structlog

from services.log.listener import Listener
from services.projections import metrics
from services.projections.batches import UNBOUNDED, NotTheLog
from services.projections.builds import Build, Connection, View, read_build
from services.projections.events import Placed
from services.projections.folding import Folding, Ready
from services.projections.leases import Lease
from services.projections.parking import Parking, apply_one_by_one, is_poison
from services.projections.unreachable import UNREACHABLE
from services.projections.writes import Write, apply, joined

__all__ = [
    "BATCH_EVENTS_MAX",
    "UNREACHABLE",
    "VIEW_CHANNEL",
    "Connection",
    "Follower",
    "NotTheLog",
    "OtherVersion",
    "View",
]

BATCH_EVENTS_MAX = 2_000
"""Positions in a batch. Larger ones gain little and hold their row lock for longer."""

BACK_OFF_MIN_S = 0.1
BACK_OFF_MAX_S = 5.0

VIEW_CHANNEL = "certibranche_view"
"""Told at each commit of a view; the payload is its name."""

_PARAMETERS = 8
# $1: build, $2: its schema, $3: the position to move from, $4: the one to move to, $5: how many events more, $6: the
# digest with them, $7: the lease's follower, $8: its fence (null: no lease). Returns how many events wait; no row when
# the build is elsewhere or the lease another's: then the writes, which go on with parameters of their own, do nothing.
# Locks both rows: of two runners the other waits here.
_MOVE = """
WITH leads AS (SELECT FROM projections.lease WHERE follower = $7 AND fence = $8 FOR SHARE),
moved AS (
    UPDATE projections.view SET position = $4, events = events + $5, digest = $6
    WHERE name = $1 AND schema = $2 AND position = $3 AND ($8::bigint IS NULL OR EXISTS (SELECT FROM leads))
    RETURNING parked
){writes}
SELECT parked, pg_notify('certibranche_view', $1) FROM moved
"""
_MOVED = "EXISTS (SELECT FROM moved)"

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.projections")


class OtherVersion(RuntimeError):
    """The build was not made by this program's version of the view: it must not be mixed with it."""


class Follower:
    """Keeps one build of a view up to date. Any number may run for one: who has no lease waits, or wastes its work.

    build: its name, by default the live one. strict: raise Poison instead of parking.
    """

    def __init__(
        self,
        view: View,
        pool: asyncpg.Pool,
        listener: Listener,
        *,
        lease: Lease | None = None,
        build: str | None = None,
        strict: bool = False,
        batch_events_max: int = BATCH_EVENTS_MAX,
    ) -> None:
        self.view = view
        self._name = build or view.name
        self._pool = pool
        self._listener = listener
        self._lease = lease
        self._strict = strict
        self._batch_events_max = batch_events_max
        self._folding = Folding(view, pool, batch_events_max)
        self._build: Build | None = None
        self._at_head = False
        self._back_off_s = BACK_OFF_MIN_S

    async def run(self) -> None:
        """Follow until cancelled. Whatever fails is tried again: what is wrong shows in log lines, metrics and lag."""
        try:
            while True:
                try:
                    async with self._pool.acquire() as connection:  # kept: to fetch one anew would cost half a trip
                        await self._follow(connection)
                except Exception as error:
                    self._report(error, self._back_off_s)
                await asyncio.sleep(self._back_off_s)
                self._back_off_s = min(2 * self._back_off_s, BACK_OFF_MAX_S)
        finally:
            await self.close()
            if self._lease is not None:
                await self._lease.give_up()

    async def close(self) -> None:
        """Stop what is done ahead."""
        await self._folding.close()

    async def step(self, *, until: int = UNBOUNDED) -> bool:
        """Apply the next batch, up to a position; whether there was one, for this runner or another.

        Raises NotTheLog, OtherVersion, Poison when strict, and what asyncpg raises.
        """
        async with self._pool.acquire() as connection:
            return await self._step(connection, until)

    async def _follow(self, connection: Connection) -> None:
        """Apply batch after batch until something fails."""
        while True:
            news = self._listener.news
            await self._known_build(connection)
            if self._lease is not None:
                await self._lease.hold()
            await self._step(connection)
            if self._at_head:
                await self._listener.wait(news)
            self._back_off_s = BACK_OFF_MIN_S

    async def _step(self, connection: Connection, until: int = UNBOUNDED) -> bool:
        started = time.perf_counter()
        build = await self._known_build(connection)
        ready = await self._folding.next(connection, build, until)
        batch = ready.batch
        self._at_head = batch.length < self._batch_events_max
        if not batch.length:
            return False
        self._build = None
        self._folding.go_on(ready, until)
        parked = await self._save(connection, build, ready)
        if parked is None:
            self._at_head = False
            if self._lease is not None:
                self._lease.doubt()
            return True
        self._build = ready.after._replace(parked=parked)
        metrics.EVENTS.labels(self._name).inc(batch.length)
        metrics.BATCH_EVENTS.labels(self._name).observe(batch.length)
        metrics.BATCH_SECONDS.labels(self._name).observe(time.perf_counter() - started)
        return True

    async def _known_build(self, connection: Connection) -> Build:
        """The build as this runner has left it, or as it is: the move finds out when another has moved it since."""
        if self._build is None:
            build = await read_build(connection, self._name)
            if build is None:
                raise LookupError(f"view {self._name} is not in this database")
            if build.version != self.view.version:
                raise OtherVersion(f"{self._name} has version {build.version}, this program {self.view.version}")
            self._build = build
        return self._build

    async def _save(self, connection: Connection, build: Build, ready: Ready) -> int | None:
        """Apply and move; how many events wait then, None when another has moved the build, or taken the lease."""
        try:
            if ready.folded is not None:
                # What the fold has read before this one statement is right if nobody else has moved the build since.
                return await self._move(connection, build, ready, *ready.folded.writes)
            if build.parked and ready.batch.decoded is not None:
                return await self._save_and_park(connection, build, ready, ready.batch.decoded)
        except Exception as error:
            if not is_poison(error):
                raise
        return await self._save_and_park(connection, build, ready, None)

    async def _save_and_park(
        self, connection: Connection, build: Build, ready: Ready, events: Sequence[Placed] | None
    ) -> int | None:
        """In a transaction that begins with the move, for what may have to wait. events: None: one by one."""
        async with connection.transaction():
            parked = await self._move(connection, build, ready)
            if parked is None:
                return None
            parking = Parking(connection, self.view, build.schema, strict=self._strict)
            if parked:
                await parking.load()
            if events is None:
                await apply_one_by_one(connection, self.view, build.schema, ready.batch.events_one_by_one(), parking)
            elif due := await parking.sift(events):
                await apply(connection, self.view, build.schema, due)
            return parked + await parking.save()

    async def _move(self, connection: Connection, build: Build, ready: Ready, *writes: Write) -> int | None:
        lease = (None, None) if self._lease is None else (self._lease.follower, self._lease.fence)
        statement = _MOVE.format(writes=joined(build.schema, _MOVED, _PARAMETERS, *(one.statement for one in writes)))
        columns = [column for one in writes for column in one.columns]
        parked: int | None = await connection.fetchval(
            *(statement, build.name, build.schema, build.position, ready.after.position, len(ready.batch.stored)),
            *(ready.after.digest, *lease),
            *columns,
        )
        return parked

    def _report(self, error: Exception, retry_in_s: float) -> None:
        if isinstance(error, OtherVersion):
            _log.info("view.other_version", view=self._name, what=str(error))
        elif isinstance(error, UNREACHABLE):
            metrics.FAILURES.labels(self._name, "unreachable").inc()
            _log.warning("view.unreachable", view=self._name, error=repr(error), retry_in_s=retry_in_s)
        else:
            # A log that is not ours, or a database that cannot take the rows. Nothing was saved; nothing is skipped.
            metrics.FAILURES.labels(self._name, "bug").inc()
            _log.error("view.halted", view=self._name, retry_in_s=retry_in_s, exc_info=error)
