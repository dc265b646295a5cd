"""The one loop for every view: read the log behind my position, fold a batch, save rows and position together.

Two runners, a crash or a retry cannot apply twice or leave out: the position moves in the transaction of the rows, and
only from the value that this runner has read. The log has no gaps, so a batch that has one was not read from it.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

import asyncpg
import msgspec
import structlog

from contracts.envelope import StoredEvent
from contracts.facts import Fact
from services.log.listener import Listener
from services.log.reader import Entry, LogReader
from services.projections import metrics

BATCH_EVENTS_MAX = 500
"""Larger batches gain little and hold their row lock for longer."""

BACK_OFF_MIN_S = 0.1
BACK_OFF_MAX_S = 5.0

VIEW_CHANNEL = "certibranche_view"
"""Told at each commit of a view; the payload is its name."""

Connection: TypeAlias = "asyncpg.Connection | asyncpg.pool.PoolConnectionProxy"

UNREACHABLE = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.OperatorInterventionError)
"""What asyncpg raises while a server is away, starts or stops."""

# $1: view. Returns its position, no row when it is not in this database.
_POSITION = "SELECT position FROM projections.view WHERE name = $1"

# $1: view, $2: the position to move from, $3: the one to move to. Locks the row: of two runners the other waits here.
_MOVE = "UPDATE projections.view SET position = $3 WHERE name = $1 AND position = $2"

_TELL = "SELECT pg_notify($1, $2)"

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.projections")


class _Recorded(msgspec.Struct):
    recordedtime: datetime


_recorded = msgspec.json.Decoder(_Recorded)


class View(Protocol):
    """What a follower keeps up to date: a name, the facts it folds, and how."""

    @property
    def name(self) -> str: ...

    @property
    def facts(self) -> Sequence[type[Fact]]: ...

    async def apply(self, connection: Connection, events: Sequence[StoredEvent[Fact]]) -> None:
        """Write what the events change, in the caller's transaction. Each event comes once, in the log's order."""


class NotTheLog(RuntimeError):
    """What was read is not the log that this view has followed so far: events are missing."""


class Follower:
    """Keeps one view up to date. Any number may run for one view; all but one then waste their work."""

    def __init__(
        self,
        view: View,
        pool: asyncpg.Pool,
        reader: LogReader,
        listener: Listener,
        *,
        batch_events_max: int = BATCH_EVENTS_MAX,
    ) -> None:
        self.view = view
        self._pool = pool
        self._reader = reader
        self._listener = listener
        self._batch_events_max = batch_events_max
        self._types = {fact.type_name() for fact in view.facts}

    async def run(self) -> None:
        """Follow until cancelled. Whatever fails is tried again: what is wrong shows in log lines, metrics and lag."""
        back_off_s = BACK_OFF_MIN_S
        while True:
            news = self._listener.news
            try:
                if not await self.step():
                    await self._listener.wait(news)
                back_off_s = BACK_OFF_MIN_S
                continue
            except UNREACHABLE as error:
                metrics.FAILURES.labels(self.view.name, "unreachable").inc()
                _log.warning("view.unreachable", view=self.view.name, error=repr(error), retry_in_s=back_off_s)
            except Exception:
                # A bug in a fold, or a log that is not ours. Nothing was saved; nothing is skipped.
                metrics.FAILURES.labels(self.view.name, "bug").inc()
                _log.exception("view.halted", view=self.view.name, retry_in_s=back_off_s)
            await asyncio.sleep(back_off_s)
            back_off_s = min(2 * back_off_s, BACK_OFF_MAX_S)

    async def step(self) -> bool:
        """Apply the next batch; whether there was one, for this runner or another."""
        started = time.perf_counter()
        position = await self._position()
        head = await self._reader.head()
        page = await self._reader.page(position, limit=self._batch_events_max, until=head)
        self._check(position, head, page)
        self._measure_lag(position, head, page)
        if not page:
            return False
        events = [entry.event() for entry in page if entry.type in self._types]
        if await self._save(position, page[-1].position, events):
            metrics.EVENTS.labels(self.view.name).inc(len(page))
            metrics.BATCH_EVENTS.labels(self.view.name).observe(len(page))
            metrics.BATCH_SECONDS.labels(self.view.name).observe(time.perf_counter() - started)
            self._measure_lag(page[-1].position, head, ())
        return True

    async def _position(self) -> int:
        position: int | None = await self._pool.fetchval(_POSITION, self.view.name)
        if position is None:
            raise LookupError(f"view {self.view.name} is not in this database")
        return position

    def _check(self, position: int, head: int, page: Sequence[Entry]) -> None:
        if head < position:
            raise NotTheLog(f"view {self.view.name} is at {position}, the log ends at {head}")
        missing = next((at for at, entry in enumerate(page, position + 1) if entry.position != at), None)
        if missing is None and not page and head > position:
            missing = position + 1
        if missing is not None:
            raise NotTheLog(f"the log has no event {missing}")

    async def _save(self, position: int, reached: int, events: Sequence[StoredEvent[Fact]]) -> bool:
        """Apply and move in one transaction; False when another runner has moved the view meanwhile."""
        async with self._pool.acquire() as connection, connection.transaction():
            # A crash may lose a commit but never half of one, and what is lost is folded again.
            await connection.execute("SET LOCAL synchronous_commit = off")
            if await connection.execute(_MOVE, self.view.name, position, reached) != "UPDATE 1":
                return False
            if events:
                await self.view.apply(connection, events)
            await connection.execute(_TELL, VIEW_CHANNEL, self.view.name)
        return True

    def _measure_lag(self, position: int, head: int, page: Sequence[Entry]) -> None:
        metrics.POSITION.labels(self.view.name).set(position)
        metrics.LAG_POSITIONS.labels(self.view.name).set(head - position)
        age = datetime.now(UTC) - _recorded.decode(page[0].entry).recordedtime if page else None
        metrics.LAG_SECONDS.labels(self.view.name).set(age.total_seconds() if age else 0)
