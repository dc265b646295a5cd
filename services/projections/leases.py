"""Who runs a follower: one row each, held for a few seconds at a time and fenced.

Whoever holds a lease renews it; a holder that was killed, stopped or cut off does not, and another takes over once the
lease has expired. Taking over raises the fence: what the old holder still tries to write under its own is refused.
Times are the database's, so the holders' clocks do not matter.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import structlog

from services.projections.unreachable import UNREACHABLE
from services.tasks import cancelled

LEASE_S = 3.0
RENEW_S = 1.0
RETRY_S = 0.25
"""How often a candidate looks whether the lease has expired."""

# $1: follower, $2: holder, $3: for how many seconds, $4: what the holder has counted. Returns the fence; no row while
# another holds the lease.
_TAKE = """
INSERT INTO projections.lease AS l (follower, holder, fence, expires_at, metrics)
VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3), $4)
ON CONFLICT (follower) DO UPDATE SET
    holder = excluded.holder, expires_at = excluded.expires_at, metrics = excluded.metrics,
    fence = l.fence + (l.holder <> excluded.holder)::int
WHERE l.holder = excluded.holder OR l.expires_at < clock_timestamp()
RETURNING fence
"""

# $1: follower, $2: holder.
_GIVE_UP = "UPDATE projections.lease SET expires_at = '-infinity' WHERE follower = $1 AND holder = $2"

# $1: follower, $2: fence. Locks the row until the transaction ends: nobody takes over meanwhile.
_CHECK = "SELECT FROM projections.lease WHERE follower = $1 AND fence = $2 FOR SHARE"

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.projections")


class Fenced(RuntimeError):
    """Another has taken over: this holder may write no more."""


class HeldByAnother(RuntimeError):
    """Another process has this work in hand."""


class Lease:
    """A candidate for the lease of one follower. `metrics`: what to tell with each renewal, as JSON."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        follower: str,
        *,
        lease_s: float = LEASE_S,
        metrics: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.follower = follower
        self.holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self.fence = 0
        self._pool = pool
        self._lease_s = lease_s
        self._renew_s = min(RENEW_S, lease_s / 3)
        self._metrics = metrics
        self._renewed_at = -lease_s  # monotonic

    async def take(self) -> bool:
        """Take the lease or renew it; whether it is ours now."""
        asked_at = time.monotonic()
        fence = await self._pool.fetchval(_TAKE, self.follower, self.holder, self._lease_s, self._metrics())
        if fence is None:
            self.fence = 0
            return False
        if fence != self.fence:
            _log.info("lease.taken", follower=self.follower, holder=self.holder, fence=fence)
        self.fence, self._renewed_at = fence, asked_at
        return True

    async def hold(self) -> None:
        """Return while the lease is ours, renewing it when that is due; wait for it when it is another's."""
        if self.fence and time.monotonic() - self._renewed_at < self._renew_s:
            return
        while not await self.take():  # noqa: ASYNC110 (what is waited for is in the database)
            await asyncio.sleep(RETRY_S)

    def doubt(self) -> None:
        """What was written was refused: look again whether the lease is ours."""
        self._renewed_at = -self._lease_s

    async def check(self, connection: Any) -> None:
        """Raise Fenced unless the lease is ours, and keep it so until the caller's transaction ends."""
        if not await connection.fetch(_CHECK, self.follower, self.fence):
            raise Fenced(f"another holds the lease of {self.follower}")

    async def give_up(self) -> None:
        """Let another take over at once. Out of reach of the database, the lease expires by itself."""
        self.fence = 0
        with contextlib.suppress(*UNREACHABLE, TimeoutError):
            async with asyncio.timeout(1):
                await self._pool.execute(_GIVE_UP, self.follower, self.holder)

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold the lease for some work; HeldByAnother at once when it is another's. `check` says if it still is."""
        if not await self.take():
            raise HeldByAnother(f"{self.follower} is in the hands of another process")
        renewing = asyncio.create_task(self._renewed(), name=f"lease {self.follower}")
        try:
            yield
        finally:
            await cancelled(renewing)
            await self.give_up()

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work while the lease is ours, stop it when it no longer is. Ends, or raises, as the work does."""
        while True:
            await self._until_taken()
            working = asyncio.ensure_future(work())
            renewing = asyncio.create_task(self._renewed(), name=f"lease {self.follower}")
            try:
                await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    return working.result()
            finally:
                await cancelled(working, renewing)
                await self.give_up()
            _log.warning("lease.lost", follower=self.follower, holder=self.holder)

    async def _until_taken(self) -> None:
        while True:
            with contextlib.suppress(*UNREACHABLE):
                await self.hold()
                return
            await asyncio.sleep(RETRY_S)

    async def _renewed(self) -> None:
        """Renew until the lease is another's, was meanwhile, or may be for all we can know."""
        fence = self.fence
        while time.monotonic() - self._renewed_at < self._lease_s:
            await asyncio.sleep(self._renew_s)
            with contextlib.suppress(*UNREACHABLE, TimeoutError):
                async with asyncio.timeout(self._lease_s):
                    if not await self.take() or self.fence != fence:
                        self.fence = 0
                        return
