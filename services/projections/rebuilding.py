"""Rebuilding a view without a pause: new tables are filled beside the live ones, compared, and put in their place.

The new build never goes beyond the live one, so that both can be compared, and exchanged, at one position. The one
before is kept, for a way back.
"""

from collections.abc import Callable
from typing import NamedTuple

import asyncpg

from services.log.listener import Listener
from services.projections.builds import (
    NEXT,
    OLD,
    Build,
    Connection,
    View,
    create_build,
    drop_build,
    read_build,
    rename_builds,
)
from services.projections.comparing import Comparison, Side, compare, snapshot
from services.projections.follower import VIEW_CHANNEL, Follower
from services.projections.leases import Lease

CLOSE_POSITIONS = 1_000
"""A build that is no further behind catches up while the live one waits for it."""

Told = Callable[[int, int], None]
"""Called with how far the work has come, and how far it goes."""

_DURABLE = "SET LOCAL synchronous_commit = on"
_TELL = "SELECT pg_notify($1, $2)"


class NoWayBack(RuntimeError):
    """The build before is not there, or not of this program's version."""


class Rebuilt(NamedTuple):
    """before: the build that was live; after: the one that is; comparison: None where their layouts differ."""

    before: Build
    after: Build
    comparison: Comparison | None


class Rebuild:
    """One rebuild of a view, by the one process that holds its lease."""

    def __init__(self, view: View, pool: asyncpg.Pool, listener: Listener, *, lease: Lease | None = None) -> None:
        self._view = view
        self._pool = pool
        self._listener = listener
        self._lease = lease or Lease(pool, view.name + NEXT)

    async def run(self, told: Told = lambda _, __: None) -> Rebuilt:
        """Build anew from position 1, and switch.

        Raises Poison at an event that the fold does not take, HeldByAnother, NotTheLog: then the live build stays.
        """
        name = self._view.name + NEXT
        async with self._lease.held():
            async with self._pool.acquire() as connection, connection.transaction():
                await self._lease.check(connection)
                await drop_build(connection, name)  # of a rebuild that was cut short
                await create_build(connection, self._view, name)
            follower = self._follower(name, strict=True)
            try:
                await self._fill(follower, name, told)
                comparison = await self._compare(follower, name)
                async with self._pool.acquire() as connection, connection.transaction():
                    await self._lease.check(connection)
                    await drop_build(connection, self._view.name + OLD)
                before, after = await self._switch(follower, name, (self._view.name, self._view.name + OLD))
            finally:
                await follower.close()
        return Rebuilt(before, after, comparison)

    async def roll_back(self, told: Told = lambda _, __: None) -> Rebuilt:
        """Bring the build before up to the live one and put it in its place; the live one is kept as the one before.

        Raises NoWayBack, and what `run` raises.
        """
        name, aside = self._view.name + OLD, self._view.name + ":aside"
        async with self._lease.held():
            old = await read_build(self._pool, name)
            if old is None or (old.version, old.layout) != (self._view.version, self._view.layout):
                had = "none is kept" if old is None else f"the one kept has version {old.version}"
                raise NoWayBack(f"this program brings back version {self._view.version} of {self._view.name}: {had}")
            follower = self._follower(name, strict=False)
            try:
                await self._fill(follower, name, told)
                comparison = await self._compare(follower, name)
                before, after = await self._switch(follower, name, (self._view.name, aside), (aside, name))
            finally:
                await follower.close()
        return Rebuilt(before, after, comparison)

    def _follower(self, name: str, *, strict: bool) -> Follower:
        return Follower(self._view, self._pool, self._listener, build=name, lease=self._lease, strict=strict)

    async def _fill(self, follower: Follower, name: str, told: Told) -> None:
        """Bring a build up to where the live one is."""
        while (build := await self._read(self._pool, name)).position < (live := await self._live(self._pool)).position:
            await self._reach(follower, name, build.position, live.position, told)

    async def _reach(self, follower: Follower, name: str, position: int, until: int, told: Told) -> None:
        while position < until:
            await follower.step(until=until)
            reached = (await self._read(self._pool, name)).position
            if reached == position:
                await self._must_lead()
                raise LookupError(f"the log ends at {position}, {self._view.name} is at {until}")
            position = reached
            told(position, until)

    async def _must_lead(self) -> None:
        async with self._pool.acquire() as connection:
            await self._lease.check(connection)

    async def _compare(self, follower: Follower, name: str) -> Comparison | None:
        """How the live rows differ from those of the new build, at one position, while both go on."""
        async with snapshot(self._pool) as reading:
            live = await self._live(reading)
            build = await self._read(self._pool, name)
            if build.layout != live.layout:
                return None
            await self._reach(follower, name, build.position, live.position, lambda _, __: None)
            async with self._pool.acquire() as copy:
                return await compare(Side(reading, live.schema), Side(copy, build.schema))

    async def _switch(self, follower: Follower, name: str, *before: tuple[str, str]) -> tuple[Build, Build]:
        """Exchange the builds in one transaction, while the live one waits at the position that both have reached."""
        while True:
            await self._fill(follower, name, lambda _, __: None)
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(_DURABLE)
                live = await read_build(connection, self._view.name, lock=True)
                build = await self._read(self._pool, name)
                assert live is not None, "a live build is never removed"
                if live.position - build.position > CLOSE_POSITIONS:
                    continue
                await self._reach(follower, name, build.position, live.position, lambda _, __: None)
                await self._lease.check(connection)
                await rename_builds(connection, *before[:1], (name, self._view.name), *before[1:])
                await connection.execute(_TELL, VIEW_CHANNEL, self._view.name)
                return live, await self._read(connection, self._view.name)

    async def _live(self, connection: "Connection | asyncpg.Pool") -> Build:
        return await self._read(connection, self._view.name)

    async def _read(self, connection: "Connection | asyncpg.Pool", name: str) -> Build:
        build = await read_build(connection, name)
        if build is None:
            raise LookupError(f"view {name} is not in this database")
        return build
