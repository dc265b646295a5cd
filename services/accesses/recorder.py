"""Writes accesses in batches, one batch at a time; whoever must know that one is durable waits for it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from itertools import islice

import asyncpg
import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from contracts.problems import Unavailable
from services.accesses.entries import Access
from services.tasks import cancelled

log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.accesses")

WAITING_MAX = 50_000
"""Accesses that wait, in memory: some tens of megabytes while the database is away, and some minutes of reads."""

BATCH_MAX = 2_000
LINGER_S = 0.1
"""How long a batch gathers when nobody waits for it."""

DURABLE_S = 2.0
"""How long an answer waits for its record before it is refused."""

AGAIN_S = 0.5
FLUSH_S = 3.0
SWEEP_S = 3_600.0

TROUBLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# One batch at a time among all processes, so that numbers become visible in their order; see 0001_entry.sql.
_LOCK = "SELECT pg_advisory_xact_lock(7420, 5)"

_WRITE = """
INSERT INTO access.entry (at, client_id, method, route, status, tags, target)
SELECT given.at, given.client_id, given.method, given.route, given.status,
       ARRAY(SELECT jsonb_array_elements_text(given.tags)), given.target
FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::jsonb[], $7::jsonb[])
     WITH ORDINALITY given (at, client_id, method, route, status, tags, target, place)
ORDER BY given.place
"""

# $1: for how many days an access is kept.
_SWEEP = "DELETE FROM access.entry WHERE at < now() - $1 * interval '1 day'"


class Recorder:
    """The queue of one process. `running` must be open while it is used."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        keep_days: int,
        waiting_max: int = WAITING_MAX,
        durable_s: float = DURABLE_S,
    ) -> None:
        self._keep_days = keep_days
        self._waiting_max = waiting_max
        self._durable_s = durable_s
        self._waiting: deque[tuple[Access | None, asyncio.Future[None] | None]] = deque()
        self._news, self._urgent = asyncio.Event(), asyncio.Event()
        self._lost = Counter("certibranche_accesses_lost", "Reads that could not be recorded", registry=registry)
        self._written = Counter("certibranche_accesses_written", "Reads recorded", registry=registry)
        Gauge("certibranche_accesses_waiting", "Reads not yet recorded", registry=registry).set_function(
            partial(len, self._waiting)
        )

    def note(self, access: Access) -> None:
        """Record it soon. It is lost, and counted, when too many wait already."""
        if len(self._waiting) >= self._waiting_max:
            self._lost.inc()
            return
        self._waiting.append((access, None))
        self._news.set()

    async def keep(self, access: Access) -> None:
        """Return once it is durable. Unavailable: it is not, in time; it may still become so."""
        if not await self._in_time(access):
            raise Unavailable("That an identity is read here cannot be recorded right now, so it is not shown.")

    async def flush(self) -> None:
        """Return once all that wait now are durable. Unavailable: they are not, in time."""
        if self._waiting and not await self._in_time(None):
            raise Unavailable("The record of accesses cannot be written right now.")

    async def _in_time(self, access: Access | None) -> bool:
        if len(self._waiting) >= self._waiting_max:
            return False
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((access, durable))
        self._news.set()
        self._urgent.set()
        try:
            await asyncio.wait_for(durable, self._durable_s)
        except TimeoutError:
            return False
        return True

    @contextlib.asynccontextmanager
    async def running(self, pool: asyncpg.Pool) -> AsyncIterator[None]:
        """Writes meanwhile, and at the end what still waits."""
        tasks = [asyncio.create_task(work, name="accesses") for work in (self._write_on(pool), self._sweep_on(pool))]
        try:
            yield
        finally:
            await cancelled(*tasks)
            try:
                async with asyncio.timeout(FLUSH_S):
                    while self._waiting:
                        await self._write(pool)
            except (TimeoutError, *TROUBLE) as trouble:
                self._lost.inc(len(self._waiting))
                log.error("accesses_lost", count=len(self._waiting), trouble=type(trouble).__name__)

    async def _write_on(self, pool: asyncpg.Pool) -> None:
        while True:
            await self._news.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), LINGER_S)
            self._news.clear()
            self._urgent.clear()
            try:
                while self._waiting:
                    await self._write(pool)
            except Exception as error:  # a bug, too, must not end this: without it no identity is shown any more
                if isinstance(error, TROUBLE):
                    log.warning("accesses_not_written", waiting=len(self._waiting), trouble=type(error).__name__)
                else:
                    log.error("bug", exc_info=error)
                self._news.set()
                await asyncio.sleep(AGAIN_S)

    async def _write(self, pool: asyncpg.Pool) -> None:
        """Write a batch, and only then take it off the queue. A commit whose answer was lost is written again: better
        twice than not at all."""
        batch = list(islice(self._waiting, BATCH_MAX))
        rows = [_row(access) for access, _ in batch if access is not None]
        if rows:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(_LOCK)
                await connection.execute(_WRITE, *map(list, zip(*rows, strict=True)))
        for _, durable in batch:
            self._waiting.popleft()
            if durable is not None and not durable.done():
                durable.set_result(None)
        self._written.inc(len(rows))

    async def _sweep_on(self, pool: asyncpg.Pool) -> None:
        while True:
            try:
                await pool.execute(_SWEEP, self._keep_days)
            except TROUBLE as trouble:
                log.warning("accesses_not_swept", trouble=type(trouble).__name__)
            await asyncio.sleep(SWEEP_S)


def _row(access: Access) -> tuple[object, ...]:
    return (*access[:5], _json(access.tags), _json(access.target))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
