"""The log as the eventsourcing library's synchronous DCB recorder: an adapter, its event loop in a thread."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import asyncpg
from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBReadResponse,
    DCBRecorder,
    DCBSequencedEvent,
)
from eventsourcing.dcb.persistence import DCBListenNotifySubscription
from eventsourcing.dcb.popo import SimpleDCBReadResponse
from eventsourcing.persistence import IntegrityError, ProgrammingError

from services.log import queries
from services.log.listener import LOG_CHANNEL
from services.log.queries import Event, Item

T = TypeVar("T")


class LogRecorder(DCBRecorder):
    """Reads and appends opaque events in the log of a database."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.notified: set[threading.Event] = set()
        self._connection, self._listening = self._run(self._connect(url))

    async def _connect(self, url: str) -> tuple[asyncpg.Connection, asyncpg.Connection]:
        self._turn = asyncio.Lock()
        listening = await asyncpg.connect(url)
        await listening.add_listener(LOG_CHANNEL, lambda *_: [event.set() for event in list(self.notified)])
        return await asyncpg.connect(url), listening

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def read(
        self, query: DCBQuery | None = None, *, after: int | None = None, limit: int | None = None
    ) -> DCBReadResponse:
        return self._run(self._read(query, after or 0, limit))

    async def _read(self, query: DCBQuery | None, after: int, limit: int | None) -> DCBReadResponse:
        async with self._turn, self._connection.transaction(isolation="repeatable_read"):
            found = await queries.read(self._connection, items(query), after=after, limit=limit)
            head: int | None = await self._connection.fetchval("SELECT max(position) FROM log.event")
        if limit is not None:
            head = found[-1][0] if found else None
        events = [DCBSequencedEvent(DCBEvent(e.type, e.entry, list(e.tags)), position) for position, e in found]
        return SimpleDCBReadResponse(iter(events), head)

    def append(self, events: Sequence[DCBEvent], condition: DCBAppendCondition | None = None) -> int:
        if not events:
            raise ProgrammingError("no events")
        head = self._run(self._append(events, condition))
        if head is None:
            raise IntegrityError(condition)
        return head

    async def _append(self, events: Sequence[DCBEvent], condition: DCBAppendCondition | None) -> int | None:
        unless = None if condition is None else items(condition.fail_if_events_match) or []
        after = 0 if condition is None else condition.after or 0
        async with self._turn:
            new = [Event(event.type, event.tags, event.data) for event in events]
            return await queries.append(self._connection, new, unless=unless, after=after)

    def subscribe(self, query: DCBQuery | None = None, *, after: int | None = None) -> "LogSubscription":
        return LogSubscription(self, query=query, after=after)

    def close(self) -> None:
        self._connection.terminate()
        self._listening.terminate()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class LogSubscription(DCBListenNotifySubscription["LogRecorder"]):
    def __init__(self, recorder: LogRecorder, query: DCBQuery | None = None, after: int | None = None) -> None:
        super().__init__(recorder, query=query, after=after)
        recorder.notified.add(self._has_been_notified)
        self._has_been_notified.set()

    def stop(self) -> None:
        super().stop()
        self._recorder.notified.discard(self._has_been_notified)
        self._has_been_notified.set()


def items(query: DCBQuery | None) -> list[Item] | None:
    """The library's query as ours: a query without items matches all."""
    return None if query is None or not query.items else [Item(item.types, item.tags) for item in query.items]
