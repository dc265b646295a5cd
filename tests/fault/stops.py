"""A pool through which everything goes until a process ends: at a statement that is counted, before it or after it."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg


class StoppedError(OSError):
    """The process ends here and now."""


class StoppingPool:
    """Counts statements, commits among them. At number `stop_at` the connection is cut: before that statement reaches
    the server, or (after=True) once it has been carried out but its answer is lost."""

    def __init__(self, pool: asyncpg.Pool, stop_at: int, *, after: bool = False) -> None:
        self._pool = pool
        self._stop_at = stop_at
        self._after = after
        self.count = 0

    @property
    def stopped(self) -> bool:
        return self.count >= self._stop_at

    def as_pool(self) -> asyncpg.Pool:
        return cast(asyncpg.Pool, self)

    async def step(self, connection: Any, work: Any) -> Any:
        if self.stopped:  # nothing comes after the end
            work.close()
            raise StoppedError
        self.count += 1
        if self.stopped and not self._after:
            work.close()
            connection.terminate()
            raise StoppedError
        result = await work
        if self.stopped:
            connection.terminate()
            raise StoppedError
        return result

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        async with self._pool.acquire() as connection:
            yield _StoppingConnection(self, connection)

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            async with self.acquire() as connection:
                return await getattr(connection, name)(*arguments)

        return call


class _StoppingConnection:
    def __init__(self, pool: StoppingPool, connection: Any) -> None:
        self._pool = pool
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            return await self._pool.step(self._connection, getattr(self._connection, name)(*arguments))

        return call

    def is_closed(self) -> bool:
        return bool(self._connection.is_closed())

    @contextlib.asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[None]:
        transaction = self._connection.transaction(**options)
        await transaction.start()
        try:
            yield
        except BaseException:
            with contextlib.suppress(asyncpg.InterfaceError, asyncpg.PostgresConnectionError):  # it was cut
                await transaction.rollback()
            raise
        await self._pool.step(self._connection, transaction.commit())
