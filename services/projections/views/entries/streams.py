"""Entries as streams: NDJSON up to a position, and server-sent events that go on. Both resume by position.

Lines are read one page ahead of what is sent. A page that waits to be sent holds no connection of the database.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from services.log.listener import POLL_S, Listener
from services.log.reader import Entry, Lines
from services.projections.views.entries.reading import EntriesReader, Wanted

NDJSON = "application/x-ndjson"
EVENT_STREAM = "text/event-stream"

FOLLOW_S = 25.0
"""A stream that follows ends by then, and its client comes again: so tokens are checked, and servers can be changed."""

COMMENT_S = 15.0
"""A stream that has nothing to say says so this often: some proxies cut what is silent."""

RETRY_MS = 250


class Streams:
    """Streams of entries. They end when `drain` is set; `news` tells when there may be more to follow."""

    def __init__(
        self,
        entries: EntriesReader,
        news: Listener,
        drain: asyncio.Event,
        *,
        follow_s: float = FOLLOW_S,
        comment_s: float = COMMENT_S,
    ) -> None:
        self._entries = entries
        self._news = news
        self._drain = drain
        self._follow_s = follow_s
        self._comment_s = comment_s

    async def lines(self, wanted: Wanted, after: int, *, until: int, limit: int | None) -> AsyncIterator[bytes]:
        """A line for each entry behind `after`, up to `until`.

        Raises ConnectionAbortedError when the registry stops before the end: who reads must not take it for one.
        """
        left = limit
        page = self._page_ahead(wanted, after, until, left)
        try:
            while page is not None:
                size, blocks, after = await page
                left = None if left is None else left - size
                page = self._page_ahead(wanted, after, until, left)
                for block in blocks:
                    if self._drain.is_set():
                        raise ConnectionAbortedError("the registry is stopping; the client goes on from there")
                    yield block
        finally:
            if page is not None:
                page.cancel()
                await asyncio.gather(page, return_exceptions=True)

    def _page_ahead(self, wanted: Wanted, after: int, until: int, limit: int | None) -> "asyncio.Task[Lines] | None":
        """The next page, read while the one before it is sent; None when there is no more."""
        if after >= until or limit == 0:
            return None
        return asyncio.create_task(self._entries.lines(wanted, after, until=until, limit=limit), name="read ahead")

    async def server_sent_events(self, wanted: Wanted, after: int, *, limit: int | None) -> AsyncIterator[bytes]:
        """An event for each entry behind `after`, then for each new one, until a stream's time is over.

        `id` is the entry's position, `data` its bytes: JSON as stored has no line ends in it.
        """
        ends_at = time.monotonic() + self._follow_s
        left = limit
        yield b"retry: %d\n\n" % RETRY_MS
        said_at = time.monotonic()
        while not self._drain.is_set() and time.monotonic() < ends_at:
            news = self._news.news
            until = await self._entries.reached(wanted)
            if after < until:
                entries, after = await self._entries.page(wanted, after, until=until, limit=left)
                if entries:
                    yield b"".join(_message(entry) for entry in entries)
                    said_at = time.monotonic()
                    left = None if left is None else left - len(entries)
                    if left == 0:
                        return
            else:
                await self._wait(news, min(ends_at, said_at + self._comment_s) - time.monotonic())
            if time.monotonic() - said_at >= self._comment_s:
                yield b":\n"
                said_at = time.monotonic()

    async def _wait(self, news: asyncio.Event, seconds: float) -> None:
        """Return on news, when the registry stops, or after a while: look for yourself."""
        waiting = [asyncio.create_task(event.wait()) for event in (news, self._drain)]
        try:
            await asyncio.wait(waiting, timeout=max(0.0, min(seconds, POLL_S)), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()


def _message(entry: Entry) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (entry.position, entry.entry)
