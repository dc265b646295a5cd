"""Connections to the database, for those who need one for a moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

import asyncpg

from services.log.roles import Role, take

CLOSE_S = 2.0


@contextlib.asynccontextmanager
async def open_pool(
    database_url: str, role: Role, *, connections_max: int, **settings: str
) -> AsyncIterator[asyncpg.Pool]:
    """A pool that connects when first used, in this role, and is gone soon after its use.

    settings: PostgreSQL's, by name.

    What is set on a connection must end with its transaction: nothing is reset when it goes back (see below).
    """
    pool = await asyncpg.create_pool(
        database_url,
        min_size=0,
        max_size=connections_max,
        server_settings=settings,
        init=partial(take, role=role),
        reset=_left_as_it_is,
    )
    try:
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), CLOSE_S)
        except (TimeoutError, OSError, asyncpg.InterfaceError):
            pool.terminate()


async def _left_as_it_is(_: asyncpg.Connection) -> None:
    """Instead of asyncpg's reset after each use: a trip that took more than half the time of a read by position.

    An open transaction is rolled back all the same.
    """
