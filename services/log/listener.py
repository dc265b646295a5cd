"""Waiting for news: LISTEN with a short poll behind it, since a notification may be lost but a poll is not."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal

import asyncpg

LOG_CHANNEL = "certibranche_log"
"""Told at each commit of the log; the payload is the new head."""

POLL_S = 1.0
RECONNECT_S = 0.2

LINGER_S = 5.0
"""How long the channels are listened to after the last one who waited: commits that nobody waits for wake nobody."""


class Listener:
    """One connection that listens to some channels while somebody waits, and wakes all who do. Reconnects by itself;
    never the truth."""

    def __init__(
        self, connect: Callable[[], Awaitable[asyncpg.Connection]], *channels: str, linger_s: float = LINGER_S
    ) -> None:
        self._connect = connect
        self._channels = channels
        self._linger_s = linger_s
        self._wanted = asyncio.Event()
        self._waiting = 0
        self._news = News(self)
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

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """Somebody waits meanwhile."""
        self._waiting += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._waiting -= 1

    def _tell(self, *_: Any) -> None:
        self._news.set()
        self._news = News(self)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await self._connect()
                lost = asyncio.Event()
                connection.add_termination_listener(lambda *_, lost=lost: lost.set())
                try:
                    while not lost.is_set():
                        if not self._waiting:
                            await self._wanted.wait()
                        await self._listen(connection, lost)
                finally:
                    connection.terminate()
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self, connection: asyncpg.Connection, lost: asyncio.Event) -> None:
        """Listen until nobody has waited for a while."""
        for channel in self._channels:
            await connection.add_listener(channel, self._tell)
        self._tell()  # of what was committed before
        while self._waiting or self._wanted.is_set():
            self._wanted.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._linger_s):
                    await lost.wait()
                    return
        for channel in self._channels:
            await connection.remove_listener(channel, self._tell)


class News(asyncio.Event):
    """What a listener tells once. Waiting for it makes it listen: that, too, is news, of all that was before."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener

    async def wait(self) -> Literal[True]:
        with self._listener.awaited():
            return await super().wait()
