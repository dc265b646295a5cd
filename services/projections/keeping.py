"""Keeping one view up to date, whichever version of it this program has: follow it, and rebuild it when it is older."""

import asyncio
from functools import partial

import asyncpg
import structlog

from services.log.listener import Listener
from services.projections.builds import View, create_build, read_build
from services.projections.exposition import counted
from services.projections.follower import BACK_OFF_MAX_S, BACK_OFF_MIN_S, Follower
from services.projections.leases import HeldByAnother, Lease
from services.projections.rebuilding import Rebuild
from services.projections.unreachable import UNREACHABLE

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.projections")


async def keep(view: View, pool: asyncpg.Pool, listener: Listener) -> None:
    """Follow the view until cancelled, as far as no other process does."""
    lease = Lease(pool, view.name, metrics=partial(counted, view.name))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Follower(view, pool, listener, lease=lease).run(), name=f"follow {view.name}")
        tasks.create_task(_renew(view, pool, listener), name=f"renew {view.name}")


async def renew_once(view: View, pool: asyncpg.Pool, listener: Listener) -> None:
    """Make the tables if there are none, and rebuild them when they have an older version than this program.

    A newer one is left alone: this is then a program of yesterday, during a deploy or a way back.
    """
    async with pool.acquire() as connection, connection.transaction():
        await create_build(connection, view, view.name)
    build = await read_build(pool, view.name)
    assert build is not None, "just made, and never removed"
    if build.version < view.version:
        _log.info("view.rebuilding", view=view.name, version=view.version, before=build.version)
        rebuilt = await Rebuild(view, pool, listener).run()
        different = None if rebuilt.comparison is None else rebuilt.comparison.different
        _log.info("view.rebuilt", view=view.name, version=view.version, different_keys=different)


async def _renew(view: View, pool: asyncpg.Pool, listener: Listener) -> None:
    back_off_s = BACK_OFF_MIN_S
    while True:
        try:
            return await renew_once(view, pool, listener)
        except HeldByAnother:
            back_off_s = BACK_OFF_MIN_S
        except UNREACHABLE as error:
            _log.warning("view.unreachable", view=view.name, error=repr(error), retry_in_s=back_off_s)
        except Exception:
            _log.exception("view.not_rebuilt", view=view.name, retry_in_s=back_off_s)
        await asyncio.sleep(back_off_s)
        back_off_s = min(2 * back_off_s, BACK_OFF_MAX_S)
