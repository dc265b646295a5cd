"""Publishes the log in chunks, each at exactly its place: the stream itself is the only checkpoint.

Each chunk is one atomic batch that the server takes only at the sequence behind which it belongs. Any number of relays
may run: all but one lose the race and look again. After any doubt (time-out, lost connection, refusal) the tip is read
again: then a lost acknowledgement is no different from a lost message.
"""

import asyncio
import secrets
from collections.abc import Sequence

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.api import Header
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from contracts.envelope import StoredEvent
from contracts.facts import Fact
from contracts.subjects import STREAM, subject
from services.log.listener import Listener
from services.log.reader import Entry, LogReader
from services.projections import metrics
from services.projections.follower import UNREACHABLE
from services.projections.positions import Lag
from services.projections.relay.stream import make_stream

CHUNK_EVENTS_MAX = 200
CHUNK_BYTES_MAX = 1_000_000
HEADER_BYTES = 512
"""What the headers and the subject of a message add to its size, about."""

ANSWER_S = 5.0
MAKE_ANSWER_S = 1.0
"""Who may not make a stream gets no answer: not worth waiting for."""

BACK_OFF_MIN_S = 0.05
BACK_OFF_MAX_S = 5.0
RACE_PAUSE_MS = 20

LOST_RACE = frozenset({10071, 10164})
"""Wrong last sequence: another relay was here, or we were and the acknowledgement was lost."""

MISCONFIGURED = frozenset({10060, 10109, 10174})
"""Not the expected stream, sealed, or without atomic batches: no use in trying again."""

NO_ANSWER = (
    *UNREACHABLE,
    TimeoutError,
    nats.errors.Error,
    NoStreamResponseError,
    NotFoundError,
)

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.projections")


class Diverged(RuntimeError):
    """The stream holds what the log does not: one of them was restored, or belongs to another registry."""


class Misconfigured(RuntimeError):
    """The stream cannot take the log."""


class _Acknowledgement(msgspec.Struct):
    """The server's answer to a chunk."""

    class Error(msgspec.Struct):
        code: int
        err_code: int = 0
        description: str = ""

    seq: int = 0
    error: Error | None = None


_acknowledgement = msgspec.json.Decoder(_Acknowledgement)


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
        chunk_events_max: int = CHUNK_EVENTS_MAX,
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
        last: int | None = None
        back_off_s = BACK_OFF_MIN_S
        while True:
            news = self._listener.news
            try:
                if last is None:
                    last = await self._tip()
                chunk = await self._chunk(last)
                if not chunk:
                    await self._listener.wait(news)
                    continue
                last = await self._publish(last, chunk)
                back_off_s = BACK_OFF_MIN_S
                continue
            except APIError as error:
                last = None
                if error.err_code in MISCONFIGURED:
                    raise Misconfigured(f"stream {self._stream}: {error.description}") from error
                if error.err_code in LOST_RACE:
                    metrics.RELAY_FAILURES.labels("race").inc()
                    await asyncio.sleep(secrets.randbelow(RACE_PAUSE_MS) / 1000)
                    continue
                metrics.RELAY_FAILURES.labels("refused").inc()
                _log.warning("relay.refused", error=str(error), retry_in_s=back_off_s)
            except NO_ANSWER as error:
                last = None
                metrics.RELAY_FAILURES.labels("no answer").inc()
                _log.warning("relay.no_answer", error=repr(error), retry_in_s=back_off_s)
            await asyncio.sleep(back_off_s)
            back_off_s = min(2 * back_off_s, BACK_OFF_MAX_S)

    async def lag(self) -> Lag:
        """How far the stream is behind the log. Raises Diverged, and what nats-py and asyncpg raise without an answer.

        For readiness: it reads, and publishes nothing.
        """
        position = (await self._jetstream.stream_info(self._stream)).state.last_seq
        head = await self._reader.head()
        await self._compare(position, head)
        return Lag(position, head)

    async def _tip(self) -> int:
        """The last sequence of the stream, which is made if there is none; the bytes there are those of the log."""
        try:
            lag = await self.lag()
        except NotFoundError:
            await make_stream(self._client.jetstream(timeout=MAKE_ANSWER_S), self._stream)
            lag = await self.lag()
        metrics.RELAY_DIVERGED.set(0)
        return lag.position

    async def _compare(self, last: int, head: int) -> None:
        if last > head:
            raise self._diverged(f"the stream is at {last}, the log at {head}")
        if last == 0:
            return
        try:
            message = await self._jetstream.get_msg(self._stream, seq=last, direct=True)
        except NotFoundError:
            return  # an operator's limit has let it expire; sequences go on behind it all the same
        entry = await self._reader.entry(last)
        if entry is None or message.data != entry.entry:
            raise self._diverged(f"the stream and the log differ at {last}")

    def _diverged(self, what: str) -> Diverged:
        metrics.RELAY_DIVERGED.set(1)
        _log.critical("relay.diverged", stream=self._stream, what=what)
        return Diverged(what)

    async def _chunk(self, last: int) -> list[Entry]:
        """What comes next, as much as one atomic batch may hold."""
        chunk: list[Entry] = []
        size = 0
        _measure(Lag(last, await self._reader.head()))
        for entry in await self._reader.page(last, limit=self._chunk_events_max):
            size += len(entry.entry) + HEADER_BYTES
            if chunk and size > self._chunk_bytes_max:
                break
            if entry.position != last + len(chunk) + 1:
                raise self._diverged(f"the log has no event {last + len(chunk) + 1}")
            chunk.append(entry)
        return chunk

    async def _publish(self, last: int, chunk: Sequence[Entry]) -> int:
        """Publish the chunk behind sequence `last`, all of it or nothing; the stream's new last sequence."""
        batch_id = secrets.token_hex(16)
        for ordinal, entry in enumerate(chunk, 1):
            event = entry.event()
            headers = _headers(event) | {
                Header.EXPECTED_STREAM: self._stream,
                Header.BATCH_ID: batch_id,
                Header.BATCH_SEQUENCE: str(ordinal),
            }
            if ordinal == 1:
                headers[Header.EXPECTED_LAST_SEQUENCE] = str(last)
            if ordinal < len(chunk):
                await self._client.publish(subject(event), entry.entry, headers=headers)
                continue
            headers[Header.BATCH_COMMIT] = "1"
            answer = await self._client.request(subject(event), entry.entry, timeout=self._answer_s, headers=headers)
        acknowledgement = _acknowledgement.decode(answer.data)
        if (error := acknowledgement.error) is not None:
            raise APIError(code=error.code, err_code=error.err_code, description=error.description)
        reached = last + len(chunk)
        if acknowledgement.seq != reached:
            raise self._diverged(f"the stream acknowledged {acknowledgement.seq} for {reached}")
        metrics.RELAY_EVENTS.inc(len(chunk))
        metrics.RELAY_POSITION.set(reached)
        return reached


def _headers(event: StoredEvent[Fact]) -> dict[str, str]:
    return {
        "Content-Type": "application/cloudevents+json",
        "ce-id": _header_value(event.id),
        "ce-type": event.type,
    }


def _header_value(text: str) -> str:
    """Percent-encoded as CloudEvents' protocol bindings ask of headers: quotes, percent, blanks and beyond ASCII."""
    return "".join(
        character if "!" <= character <= "~" and character not in '"%' else _percent(character) for character in text
    )


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _measure(lag: Lag) -> None:
    metrics.RELAY_POSITION.set(lag.position)
    metrics.RELAY_LAG_POSITIONS.set(lag.positions)
