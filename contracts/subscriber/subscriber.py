"""A subscriber that applies every event of the log once and in order, whatever is killed, lost, repeated or stolen.

Copy this file; it needs nats-py (2.16 or later) and the standard library, and a NATS server 2.14 or later.

The truth is the position that you store in the same transaction as what you make of the events. The durable consumer
is only a cursor: it is set to that position at start, and again whenever a delivery is missing. Its deliveries are
numbered 1, 2, 3 … from then on; a hole in these numbers is a delivery that somebody else got, or that died with a
connection, and the events behind it are not to be applied. "Apply what is above my position" alone would lose events.

A stream may be bounded: then the events before its first are read over HTTP. Only one process may read a durable.
"""

import asyncio
import http.client
import json
import logging
import urllib.request
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError

log = logging.getLogger("subscriber")

FETCH_EVENTS = 500
FETCH_S = 2.0
IDLE_ROUNDS_MAX = 5
"""After so many fetches without an event the cursor is set anew, for it may have been deleted."""

ANSWER_S = 10.0
PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 5.0

TROUBLE = (nats.errors.Error, JetStreamError, OSError, TimeoutError, http.client.HTTPException)
"""What passes: no connection, no answer, no consumer at the moment, half an answer. urllib's errors are OSErrors."""


class Event(NamedTuple):
    """position: in the log, from 1. body: the CloudEvent, the bytes that are stored, hashed and proved."""

    position: int
    body: bytes


class Store(Protocol):
    """Yours. `position` is that of the last event applied, 0 before the first."""

    @property
    def position(self) -> int: ...

    def apply(self, events: Sequence[Event]) -> None:
        """Apply the events and set `position` to that of the last, all in one transaction."""


Older = Callable[[int], list[Event]]
"""The next events behind a position from elsewhere than the stream, none at the end of the log."""


class NotTheLog(RuntimeError):
    """What arrived is not the log that was followed so far. Nothing of it was applied; a person must look."""


class Subscriber:
    """Keeps a store up to date.

    older: where events come from that the stream no longer holds; None if the stream is unbounded.
    filtered: the durable has filters, so that positions have gaps. Then nothing shows that an event has expired
    before it was read: give a filtered durable to a subscriber only where the stream is unbounded.
    fetch_s: how long the server holds a fetch open while there are no events.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        durable: str,
        store: Store,
        *,
        older: Older | None = None,
        filtered: bool = False,
        fetch_s: float = FETCH_S,
    ) -> None:
        self._jetstream: JetStreamContext = client.jetstream(timeout=ANSWER_S)
        self._stream = stream
        self._durable = durable
        self._store = store
        self._older = None if filtered else older
        self._filtered = filtered
        self._fetch_s = fetch_s

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop` is set and a fetch is over. Raises NotTheLog, and what the store raises."""
        pause_s = PAUSE_MIN_S
        while not stop.is_set():
            before = self._store.position
            try:
                await self._follow(stop)
            except TROUBLE as error:
                log.warning("trying again in %.1f s: %r", pause_s, error)
                pause_s = PAUSE_MIN_S if self._store.position > before else min(2 * pause_s, PAUSE_MAX_S)
                await _pause(stop, pause_s)

    async def _follow(self, stop: asyncio.Event) -> None:
        """Set the cursor to the own position and read on, until a delivery is missing or none has come for long."""
        await self._jetstream.reset_consumer(self._stream, self._durable, seq=self._store.position + 1)
        cursor = await self._jetstream.pull_subscribe_bind(consumer=self._durable, stream=self._stream)
        try:
            deliveries = idle_rounds = 0
            while not stop.is_set() and idle_rounds < IDLE_ROUNDS_MAX:
                messages = await _fetch(cursor, self._fetch_s)
                idle_rounds = 0 if messages else idle_rounds + 1
                if not messages and not deliveries:
                    await self._read_older()  # an empty stream says nothing of what it has held
                whole = _without_holes(messages, deliveries)
                deliveries += len(whole)
                if not await self._take(whole) or len(whole) < len(messages):
                    return
        finally:
            await cursor.unsubscribe()

    async def _take(self, messages: Sequence[Msg]) -> bool:
        """Apply the new events among the messages; False when the stream no longer holds the next one."""
        events: list[Event] = []
        position = self._store.position
        gap = False
        for message in messages:
            event = Event(message.metadata.sequence.stream, message.data)
            if event.position <= position:
                continue  # given again: its acknowledgement was late or lost
            gap = not self._filtered and event.position != position + 1
            if gap:
                break
            position = event.position
            events.append(event)
        await self._apply(events)
        if gap:
            await self._read_older()
            return False
        for message in messages:
            await message.ack()  # after the store's commit; whatever becomes of it, the position is the truth
        return True

    async def _read_older(self) -> None:
        """Apply the rest of the log from elsewhere, as far as it goes."""
        while self._older is not None:
            events = await asyncio.to_thread(self._older, self._store.position)
            if not events:
                return
            if [event.position for event in events] != [*range(self._store.position + 1, events[-1].position + 1)]:
                raise NotTheLog(f"events are missing behind position {self._store.position}")
            await self._apply(events)

    async def _apply(self, events: Sequence[Event]) -> None:
        for event in events:
            if int(json.loads(event.body)["sequence"]) != event.position:
                raise NotTheLog(f"the event at {event.position} is of another position")
        if events:
            await asyncio.to_thread(self._store.apply, events)


def _without_holes(messages: Sequence[Msg], deliveries: int) -> Sequence[Msg]:
    """The messages up to the first that is not the next delivery."""
    for number, message in enumerate(messages):
        if message.metadata.sequence.consumer != deliveries + number + 1:
            return messages[:number]
    return messages


async def _fetch(cursor: JetStreamContext.PullSubscription, fetch_s: float) -> list[Msg]:
    try:
        return await cursor.fetch(FETCH_EVENTS, timeout=fetch_s, heartbeat=fetch_s / 4)
    except nats.errors.TimeoutError:
        return []


async def _pause(stop: asyncio.Event, pause_s: float) -> None:
    try:
        async with asyncio.timeout(pause_s):
            await stop.wait()
    except TimeoutError:
        pass


def entries_over_http(registry_url: str, token: Callable[[], str], *, limit: int = 1_000) -> Older:
    """Older events from `GET /v1/log/entries`. token: gives a token with the scope log:read."""

    def older(after: int) -> list[Event]:
        url = f"{registry_url}/v1/log/entries?after={after}&limit={limit}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token()}"})  # noqa: S310 - our own URL
        with urllib.request.urlopen(request, timeout=ANSWER_S) as response:  # noqa: S310 - our own URL
            bodies = response.read().split(b"\n")[:-1]
        return [Event(int(json.loads(body)["sequence"]), body) for body in bodies]

    return older
