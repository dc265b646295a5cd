"""The one loop for every view: read the log behind my position, fold a batch, save rows and position together.

Two runners, a crash or a retry cannot apply twice or leave out: the position moves in the transaction of the rows, only
from the value that this runner has read, and only while it holds the lease. The log has no gaps, so a batch that has
one was not read from it. An event that the fold cannot take is parked with its keys (parking.py).
"""

import asyncio
import time

import asyncpg
import structlog

from services.log.listener import Listener
from services.projections import metrics
from services.projections.batches import UNBOUNDED, Batch, BatchReader, NotTheLog
from services.projections.builds import Build, Connection, View, read_build
from services.projections.leases import Lease
from services.projections.parking import Parking, apply_one_by_one, is_poison
from services.projections.unreachable import UNREACHABLE

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

# $1: build, $2: its schema, $3: the position to move from, $4: the one to move to, $5: how many events more, $6: the
# digest with them, $7: the lease's follower, $8: its fence (null: no lease). Returns how many events wait; no row when
# the build is elsewhere or the lease another's. Locks both rows: of two runners the other waits here.
_MOVE = """
WITH leads AS (SELECT FROM projections.lease WHERE follower = $7 AND fence = $8 FOR SHARE),
moved AS (
    UPDATE projections.view SET position = $4, events = events + $5, digest = $6
    WHERE name = $1 AND schema = $2 AND position = $3 AND ($8::bigint IS NULL OR EXISTS (SELECT FROM leads))
    RETURNING parked
)
SELECT parked, pg_notify('certibranche_view', $1) FROM moved
"""

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
        self._batches = BatchReader(pool, view.facts)
        self._build: Build | None = None

    async def run(self) -> None:
        """Follow until cancelled. Whatever fails is tried again: what is wrong shows in log lines, metrics and lag."""
        back_off_s = BACK_OFF_MIN_S
        try:
            while True:
                news = self._listener.news
                try:
                    await self._known_build()
                    if self._lease is not None:
                        await self._lease.hold()
                    if not await self.step():
                        await self._listener.wait(news)
                    back_off_s = BACK_OFF_MIN_S
                    continue
                except Exception as error:
                    self._report(error, back_off_s)
                await asyncio.sleep(back_off_s)
                back_off_s = min(2 * back_off_s, BACK_OFF_MAX_S)
        finally:
            await self.close()
            if self._lease is not None:
                await self._lease.give_up()

    async def close(self) -> None:
        """Stop reading ahead."""
        await self._batches.close()

    async def step(self, *, until: int = UNBOUNDED) -> bool:
        """Apply the next batch, up to a position; whether there was one, for this runner or another.

        Raises NotTheLog, OtherVersion, Poison when strict, and what asyncpg raises.
        """
        started = time.perf_counter()
        build = await self._known_build()
        batch = await self._batches.read(build.position, limit=self._batch_events_max, until=until)
        if not batch.length:
            return False
        digest = batch.digest(build.digest)
        try:
            moved = await self._save(build, batch, digest, one_by_one=False)
        except Exception as error:
            if not is_poison(error):
                self._build = None
                raise
            moved = await self._save(build, batch, digest, one_by_one=True)
        if not moved:
            self._build = None
            if self._lease is not None:
                self._lease.doubt()
            return True
        self._build = build._replace(position=batch.reached, digest=digest)
        metrics.EVENTS.labels(self._name).inc(batch.length)
        metrics.BATCH_EVENTS.labels(self._name).observe(batch.length)
        metrics.BATCH_SECONDS.labels(self._name).observe(time.perf_counter() - started)
        return True

    async def _known_build(self) -> Build:
        """The build as this runner has left it, or as it is: the move finds out when another has moved it since."""
        if self._build is None:
            build = await read_build(self._pool, self._name)
            if build is None:
                raise LookupError(f"view {self._name} is not in this database")
            if build.version != self.view.version:
                raise OtherVersion(f"{self._name} has version {build.version}, this program {self.view.version}")
            self._build = build
        return self._build

    async def _save(self, build: Build, batch: Batch, digest: bytes, *, one_by_one: bool) -> bool:
        """Apply and move in one transaction; False when another has moved the build, or taken the lease."""
        lease = (None, None) if self._lease is None else (self._lease.follower, self._lease.fence)
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(
                _MOVE, build.name, build.schema, batch.after, batch.reached, len(batch.stored), digest, *lease
            )
            if row is None:
                return False
            if batch.stored:
                parking = Parking(connection, self.view, build.schema, strict=self._strict)
                if row["parked"]:
                    await parking.load()
                await self._fold(connection, build.schema, batch, parking, one_by_one=one_by_one)
                await parking.save()
        return True

    async def _fold(
        self, connection: Connection, schema: str, batch: Batch, parking: Parking, *, one_by_one: bool
    ) -> None:
        if one_by_one or batch.decoded is None:
            await apply_one_by_one(connection, self.view, schema, batch.events_one_by_one(), parking)
        elif ready := await parking.sift(batch.decoded):
            await self.view.apply(connection, schema, ready)

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
