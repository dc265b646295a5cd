"""Publishes the log in chunks, each at exactly its place: the stream itself is the only checkpoint.

Each chunk is one atomic batch that the server takes only at the sequence behind which it belongs. Any number of relays
may run: all but one lose the race and look again. After any doubt (time-out, lost connection, refusal) the tip is read
again: then a lost acknowledgement is no different from a lost message.
"""

import asyncio
import secrets
from collections import deque

import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from contracts.subjects import STREAM
from services.log.listener import Listener
from services.log.reader import Entry, LogReader
from services.projections import metrics
from services.projections.follower import UNREACHABLE
from services.projections.positions import Lag
from services.projections.relay.batch import BATCH_EVENTS_MAX, HEADER_BYTES, Publisher, Sent
from services.projections.relay.stream import make_stream

CHUNK_BYTES_MAX = 1_500_000

IN_FLIGHT_MAX = 3
"""While the server stores one batch, the next are read and sent (measured: three keep it busy, more gain nothing)."""

ANSWER_S = 5.0
MAKE_ANSWER_S = 1.0
"""Who may not make a stream gets no answer: not worth waiting for."""

BACK_OFF_MIN_S = 0.05
BACK_OFF_MAX_S = 5.0
RACE_PAUSE_MS = 20

LOST_RACE = frozenset({10071, 10164})
"""Wrong last sequence: another relay was here, or we were and the acknowledgement was lost."""

MISCONFIGURED = frozenset({10060, 10109, 10174, 10199})
"""Not the expected stream, sealed, without atomic batches, or with smaller ones: no use in trying again."""

NO_ANSWER = (
    *UNREACHABLE,
    TimeoutError,
    nats.errors.Error,
    NoStreamResponseError,
    NotFoundError,
)

BEFORE_ALL = Entry(0, "", b"")
"""Stands for the last event of an empty stream."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.projections")


class Diverged(RuntimeError):
    """The stream holds what the log does not: one of them was restored, or belongs to another registry."""


class Behind(Diverged):
    """The log ends before the stream does: facts that were recorded are missing in it."""


class Misconfigured(RuntimeError):
    """The stream cannot take the log."""


class Relay:
    """Brings one stream up to the log. `client` is connected as stream.connect does it."""

    def __init__(
        self,
        client: Client,
        reader: LogReader,
        listener: Listener,
        *,
        stream: str = STREAM,
        answer_s: float = ANSWER_S,
        chunk_events_max: int = BATCH_EVENTS_MAX,
        chunk_bytes_max: int = CHUNK_BYTES_MAX,
    ) -> None:
        self._client = client
        self._jetstream = client.jetstream(timeout=answer_s)
        self._reader = reader
        self._listener = listener
        self._stream = stream
        self._answer_s = answer_s
        self._chunk_events_max = chunk_events_max
        self._chunk_bytes_max = chunk_bytes_max

    async def run(self) -> None:
        """Publish until cancelled. Raises Diverged and Misconfigured: a person must look; all else is tried again."""
        pauses = _Pauses()
        while True:
            try:
                tip = await self._tip()
                _end_if_cancelled()
                pauses.seen(tip.position)
                async with Publisher(self._client, self._stream) as publisher, self._reader.at_hand() as reader:
                    await self._follow(reader, tip, publisher)
            except APIError as error:
                if error.err_code in MISCONFIGURED:
                    raise Misconfigured(f"stream {self._stream}: {error.description}") from error
                lost_race = error.err_code in LOST_RACE
                pause_s = pauses.next(lost_race=lost_race)
                metrics.RELAY_FAILURES.labels("race" if lost_race else "refused").inc()
                if not lost_race:
                    _log.warning("relay.refused", error=str(error), retry_in_s=pause_s)
            except NO_ANSWER as error:
                pause_s = pauses.next()
                metrics.RELAY_FAILURES.labels("no answer").inc()
                _log.warning("relay.no_answer", error=repr(error), retry_in_s=pause_s)
            await asyncio.sleep(pause_s)

    async def lag(self) -> Lag:
        """How far the stream is behind the log. Raises Diverged, and what nats-py and asyncpg raise without an answer.

        For readiness: it reads, and publishes nothing.
        """
        lag, _ = await self._look()
        return lag

    async def _tip(self) -> Entry:
        """The last event in the stream, as the log has it. The stream is made if there is none."""
        try:
            _, tip = await self._look()
        except NotFoundError:
            await make_stream(self._client.jetstream(timeout=MAKE_ANSWER_S), self._stream)
            _, tip = await self._look()
        return tip

    async def _look(self) -> tuple[Lag, Entry]:
        """How far the stream is, and the event there: its bytes are those of the log."""
        last = (await self._jetstream.stream_info(self._stream)).state.last_seq
        head = await self._reader.head()
        if last > head:
            raise self._diverged(f"the stream is at {last}, the log at {head}", Behind)
        tip = await self._reader.entry(last) if last else BEFORE_ALL
        if tip is None or await self._differs(tip):
            raise self._diverged(f"the stream and the log differ at {last}")
        metrics.RELAY_DIVERGED.set(0)
        metrics.RELAY_POSITION.set(last)
        metrics.RELAY_LAG_POSITIONS.set(head - last)
        return Lag(last, head), tip

    async def _differs(self, entry: Entry) -> bool:
        if entry == BEFORE_ALL:
            return False
        try:
            message = await self._jetstream.get_msg(self._stream, seq=entry.position, direct=True)
        except NotFoundError:
            return False  # its age has let it expire; sequences go on behind it all the same
        return message.data != entry.entry

    def _diverged(self, what: str, kind: type[Diverged] = Diverged) -> Diverged:
        metrics.RELAY_DIVERGED.set(1)
        _log.critical("relay.diverged", stream=self._stream, what=what)
        return kind(what)

    async def _follow(self, reader: LogReader, tip: Entry, publisher: Publisher) -> None:
        """Publish what comes behind `tip` until something is in doubt: then it raises."""
        sent: deque[Sent] = deque()
        last, stored = tip, tip.position
        while True:
            news = self._listener.news
            chunk, more = await self._chunk(reader, last)
            if chunk:
                sent.append(await publisher.send(last.position, chunk))
                last = chunk[-1]
            while sent and (len(sent) == IN_FLIGHT_MAX or not (more or news.is_set())):
                stored = await self._settle(stored, sent.popleft())
            if not (more or sent):
                await self._listener.wait(news)

    async def _settle(self, stored: int, batch: Sent) -> int:
        acknowledged = await batch.acknowledged(self._answer_s)
        if acknowledged != batch.reached:
            raise self._diverged(f"the stream acknowledged {acknowledged} for {batch.reached}")
        metrics.RELAY_EVENTS.inc(acknowledged - stored)
        metrics.RELAY_POSITION.set(acknowledged)
        return acknowledged

    async def _chunk(self, reader: LogReader, last: Entry) -> tuple[list[Entry], bool]:
        """What comes behind `last`, as much as one atomic batch may hold, and whether the log had more.

        `last` itself is read again: a log that was restored under our hands holds something else there, or nothing.
        """
        page = await reader.page(last.position - 1, limit=self._chunk_events_max + 1)
        if last == BEFORE_ALL:
            page.insert(0, BEFORE_ALL)
        if page[:1] != [last]:
            raise self._diverged(f"the log no longer has the event {last.position} that was published")
        chunk: list[Entry] = []
        size = 0
        for entry in page[1 : self._chunk_events_max + 1]:
            size += len(entry.entry) + HEADER_BYTES
            if chunk and size > self._chunk_bytes_max:
                break
            if entry.position != last.position + len(chunk) + 1:
                raise self._diverged(f"the log has no event {last.position + len(chunk) + 1}")
            chunk.append(entry)
        return chunk, len(chunk) + 1 < len(page) or len(page) > self._chunk_events_max


def _end_if_cancelled() -> None:
    """nats-py waits by asyncio.wait_for, which up to Python 3.11 can swallow a cancellation (cpython #86296)."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class _Pauses:
    """How long to wait before the tip is looked at again.

    Who lost a race comes back at once, since the tip has moved. A cluster without a quorum refuses in the same words
    while the tip stays where it is: then, as without an answer, each pause is twice as long as the last.
    """

    def __init__(self) -> None:
        self._tip = -1
        self._moved = True
        self._back_off_s = BACK_OFF_MIN_S

    def seen(self, tip: int) -> None:
        """The tip as it was read; a new one ends all patience learnt."""
        self._moved = tip != self._tip
        self._tip = tip
        if self._moved:
            self._back_off_s = BACK_OFF_MIN_S

    def next(self, *, lost_race: bool = False) -> float:
        if lost_race and self._moved:
            return secrets.randbelow(RACE_PAUSE_MS) / 1000
        back_off_s = self._back_off_s
        self._back_off_s = min(2 * back_off_s, BACK_OFF_MAX_S)
        return back_off_s
