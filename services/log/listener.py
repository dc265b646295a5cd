"""Waiting for news: LISTEN with a short poll behind it, since a notification may be lost but a poll is not."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

LOG_CHANNEL = "certibranche_log"
"""Told at each commit of the log; the payload is the new head."""

POLL_S = 1.0
RECONNECT_S = 0.2


class Listener:
    """One connection that listens to some channels and wakes whoever waits. Reconnects by itself; never the truth."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], *channels: str) -> None:
        self._connect = connect
        self._channels = channels
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Listener":
        self._task = asyncio.create_task(self._run(), name="listener")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def news(self) -> asyncio.Event:
        """The next news. Take it before you look, wait for it after: then nothing slips between."""
        return self._news

    async def wait(self, news: asyncio.Event, timeout_s: float = POLL_S) -> None:
        """Return when the news are there or the time is over: look for yourself either way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await news.wait()

    def _tell(self, *_: Any) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await self._connect()
                lost = asyncio.Event()
                connection.add_termination_listener(lambda *_, lost=lost: lost.set())
                try:
                    for channel in self._channels:
                        await connection.add_listener(channel, self._tell)
                    self._tell()
                    await lost.wait()
                finally:
                    connection.terminate()
            await asyncio.sleep(RECONNECT_S)
