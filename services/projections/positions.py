"""How far the views have come, and waiting for one to come further."""

import asyncio
from typing import NamedTuple

import asyncpg

from contracts.problems import Unavailable
from services.log.listener import Listener
from services.log.reader import LogReader

WAIT_S = 5.0
"""How long a reader waits for a view to reach a position."""

LOG = "log"
"""Stands for the log itself where a view is named: for what readers fold out of it whenever they are asked."""

# $1: view. Returns its position.
_POSITION = "SELECT position FROM projections.view WHERE name = $1"

# Waits for the writer that holds the log's lock, if there is one (log.put), and lets it go at once.
_AFTER_WRITERS = "SELECT pg_advisory_xact_lock_shared(7420, 1)"

_POSITIONS = "SELECT name, position FROM projections.view ORDER BY name"


class Lag(NamedTuple):
    """Where a follower of the log is, and where the log was just before."""

    position: int
    head: int

    @property
    def positions(self) -> int:
        return max(0, self.head - self.position)


class Positions:
    """The positions of the views and of the log. `listener` is told at each commit of a view, and of the log."""

    def __init__(self, pool: asyncpg.Pool, reader: LogReader, listener: Listener) -> None:
        self._pool = pool
        self._reader = reader
        self._listener = listener

    async def position(self, view: str) -> int:
        """The last event that is in the view's tables."""
        if view == LOG:
            return await self._reader.head()
        position: int | None = await self._pool.fetchval(_POSITION, view)
        return position or 0

    async def reached(self, view: str, position: int, *, wait_s: float = WAIT_S) -> None:
        """Return when the view has reached the position; Unavailable, with the one it is at, after `wait_s`."""
        at: int | None = None
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    news = self._listener.news
                    if (at := await self.position(view)) >= position:
                        return
                    await self._listener.wait(news)
        except TimeoutError:
            detail = f"Position {position} is not in the {'log' if view == LOG else 'view'} yet."
            known = {} if at is None else {"position": at}
            raise Unavailable(detail, wanted_position=position, **known) from None

    async def quiet(self, *, wait_s: float = WAIT_S) -> None:
        """Return once every group that is being committed now has been; Unavailable when one has not after `wait_s`."""
        try:
            async with asyncio.timeout(wait_s):
                await self._pool.execute(_AFTER_WRITERS)
        except TimeoutError:
            raise Unavailable("The log is busy.") from None

    async def lags(self) -> dict[str, Lag]:
        """Of every view of this database. Raises what asyncpg raises when the database is out of reach."""
        head = await self._reader.head()
        return {name: Lag(position, head) for name, position in await self._pool.fetch(_POSITIONS)}
