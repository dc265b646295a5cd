"""One chunk of the log as one atomic batch: the server stores all of it at exactly its place, or nothing.

Nothing but the last message of a batch is answered, so the next batch may be sent before this one is acknowledged: it
names the sequence that this one will have reached, and is refused when this one is.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import Header
from nats.js.errors import APIError, NoStreamResponseError

from contracts.subjects import SUBJECT_PREFIX, partition
from services.log.reader import Entry

BATCH_EVENTS_MAX = 1_000
"""A server takes no more in one batch, unless it is configured to take less."""

HEADER_BYTES = 512
"""What the headers and the subject of a message add to its size, about."""

CONTENT_TYPE = "application/cloudevents+json"


class _Acknowledgement(msgspec.Struct):
    """The server's answer to a batch."""

    class Error(msgspec.Struct):
        code: int
        err_code: int = 0
        description: str = ""

    seq: int = 0
    error: Error | None = None


class _Data(msgspec.Struct):
    certification_id: str = "-"


class _Routing(msgspec.Struct):
    """What the place and the headers of a message are made of."""

    id: str
    type: str
    subject: str
    data: _Data


_acknowledgement = msgspec.json.Decoder(_Acknowledgement)
_routing = msgspec.json.Decoder(_Routing)


class Sent:
    """A batch that is on its way. `reached` is the stream's last sequence once it is stored."""

    def __init__(self, reached: int, answer: asyncio.Future[Msg]) -> None:
        self.reached = reached
        self._answer = answer

    async def acknowledged(self, timeout_s: float) -> int:
        """The sequence the server acknowledges.

        Raises APIError when it refuses the batch, NoStreamResponseError when nobody has it, TimeoutError.
        """
        async with asyncio.timeout(timeout_s):
            message = await self._answer
        if message.headers and message.headers.get(Header.STATUS) == "503":
            raise NoStreamResponseError
        answer = _acknowledgement.decode(message.data)
        if (error := answer.error) is not None:
            raise APIError(code=error.code, err_code=error.err_code, description=error.description)
        return answer.seq


class Publisher:
    """Sends batches on one connection, and hears what becomes of them."""

    def __init__(self, client: Client, stream: str) -> None:
        self._client = client
        self._stream = stream
        self._answers: dict[str, asyncio.Future[Msg]] = {}

    async def __aenter__(self) -> "Publisher":
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._answer)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.forget()
        with contextlib.suppress(nats.errors.Error):
            await self._subscription.unsubscribe()

    def forget(self) -> None:
        """Wait for no answer any more."""
        for answer in self._answers.values():
            answer.cancel()
        self._answers.clear()

    async def send(self, last: int, chunk: Sequence[Entry]) -> Sent:
        """Send the chunk, to be stored behind sequence `last`. Raises OutboundBufferLimitError without a connection.

        nats-py spends more on the headers of a message than everything else that is done for it here, so the batch is
        written as the protocol has it (HPUB), in one piece. What nats-py's own publish would check is checked here.
        """
        if not self._client.is_connected:
            raise nats.errors.OutboundBufferLimitError
        batch_id = secrets.token_hex(16)
        reply = f"{self._inbox}.{batch_id}"
        place = f"Nats-Expected-Stream: {self._stream}\r\nNats-Expected-Last-Sequence: {last}\r\n"
        self._answers[reply] = answer = asyncio.get_running_loop().create_future()
        await self._client._send_command(b"".join(_messages(chunk, place, batch_id, reply)))
        await self._client._flush_pending()
        return Sent(last + len(chunk), answer)

    async def _answer(self, message: Msg) -> None:
        answer = self._answers.pop(message.subject, None)
        if answer is not None and not answer.done():
            answer.set_result(message)


def addressed(entry: bytes) -> tuple[str, dict[str, str]]:
    """The subject and the CloudEvents headers of stored bytes. Section 5 of the contract."""
    event = _routing.decode(entry)
    name = event.type.removeprefix("certibranche.").rpartition(".")[0]
    subject = f"{SUBJECT_PREFIX}.{partition(event.subject)}.{name}.{event.data.certification_id}"
    return subject, {"Content-Type": CONTENT_TYPE, "ce-id": header_value(event.id), "ce-type": event.type}


def _messages(chunk: Sequence[Entry], place: str, batch_id: str, reply: str) -> Iterator[bytes]:
    """The chunk as messages of NATS' protocol. A single event needs no batch, which would cost a file of its own."""
    size = len(chunk)
    if size == 1:
        yield _message(chunk[0].entry, place, f" {reply}")
        return
    batch = f"Nats-Batch-Id: {batch_id}\r\nNats-Batch-Sequence: "
    for ordinal, entry in enumerate(chunk, 1):
        headers = f"{place if ordinal == 1 else ''}{batch}{ordinal}\r\n"
        if ordinal < size:
            yield _message(entry.entry, headers)
        else:
            yield _message(entry.entry, f"{headers}Nats-Batch-Commit: 1\r\n", f" {reply}")


def _message(entry: bytes, headers: str, reply: str = "") -> bytes:
    """headers: beside our own, each with its line end. reply: with a blank before it."""
    subject, own = addressed(entry)
    lines = "".join(f"{name}: {value}\r\n" for name, value in own.items())
    block = f"NATS/1.0\r\n{lines}{headers}\r\n".encode()
    command = f"HPUB {subject}{reply} {len(block)} {len(block) + len(entry)}\r\n".encode()
    return b"%b%b%b\r\n" % (command, block, entry)


def header_value(text: str) -> str:
    """Percent-encoded as CloudEvents' protocol bindings ask of headers: quotes, percent, blanks and beyond ASCII."""
    return text.translate(_PERCENT) if text.isascii() else "".join(map(_encoded, text))


def _encoded(character: str) -> str:
    if character.isascii():
        return character.translate(_PERCENT)
    return "".join(f"%{byte:02X}" for byte in character.encode())


_PERCENT: Mapping[int, str] = {code: f"%{code:02X}" for code in (*range(33), 34, 37, 127)}
