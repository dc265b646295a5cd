"""Newline-delimited JSON, both ways at once: lines are read whether or not the client reads its results."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, cast

from litestar import Request, Response
from litestar.response.base import ASGIResponse
from litestar.types import Message, Receive, Scope, Send

from contracts.problems import TooLarge
from services.edge.problems import ClientGone
from services.edge.spool import Spool

MEDIA_TYPE = "application/x-ndjson"
LINE_BYTES_MAX = 1 << 20
BATCH_LINES_MAX = 500
AHEAD_LINES_MAX = 2 * BATCH_LINES_MAX
AHEAD_BYTES_MAX = 4 << 20
FLUSH_S = 5.0

Line = bytes | TooLarge
"""A line without its end; or, for one over `LINE_BYTES_MAX`, the problem that is its result."""

Process = Callable[[AsyncIterator[list[Line]]], AsyncGenerator[bytes, None]]
"""Takes batches of 1 to `BATCH_LINES_MAX` lines in order, and yields result lines, each with its LF, in order."""


class Splitter:
    """Cuts a body into lines; holds at most one unfinished line of `LINE_BYTES_MAX`."""

    def __init__(self) -> None:
        self._tail = bytearray()
        self._overlong = False

    def feed(self, part: bytes) -> list[Line]:
        """The lines that end in this part. Blank ones count for nothing."""
        *ended, rest = part.split(b"\n")
        lines = [line for end in ended if (line := self._end(end)) is not None]
        self._grow(rest)
        return lines

    def finish(self) -> list[Line]:
        """The last line, when the body does not end with LF."""
        line = self._end(b"")
        return [] if line is None else [line]

    def _grow(self, part: bytes) -> None:
        if self._overlong or len(self._tail) + len(part) > LINE_BYTES_MAX + 1:  # + 1: a CR may be the last
            self._overlong = True
            self._tail.clear()
        else:
            self._tail += part

    def _end(self, part: bytes) -> Line | None:
        if self._tail or self._overlong:
            self._grow(part)
            overlong, part = self._overlong, bytes(self._tail)
            self._overlong = False
            self._tail.clear()
            if overlong:
                return _too_large()
        line = part.removesuffix(b"\r")
        if len(line) > LINE_BYTES_MAX:
            return _too_large()
        return line if line and not line.isspace() else None


def _too_large() -> TooLarge:
    return TooLarge(f"A line has at most {LINE_BYTES_MAX} bytes.", bytes_max=LINE_BYTES_MAX)


class Lines:
    """The lines of a body in batches, read ahead up to a bound. Raises what `receive` raised, after the lines read."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._waiting: deque[Line] = deque()
        self._waiting_bytes = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._complete = False
        self._error: Exception | None = None

    async def read(self) -> None:
        """Read the body to its end; runs beside the iteration."""
        splitter = Splitter()
        try:
            more = True
            while more:
                message = cast("dict[str, Any]", await self._receive())
                if message["type"] == "http.disconnect":
                    raise ClientGone("The client left before its request was complete.")
                self._add(splitter.feed(message.get("body", b"")))
                more = message.get("more_body", False)
                while len(self._waiting) >= AHEAD_LINES_MAX or self._waiting_bytes >= AHEAD_BYTES_MAX:
                    self._room.clear()
                    await self._room.wait()
            self._add(splitter.finish())
        except Exception as error:
            self._error = error
        self._complete = True
        self._changed.set()

    def _add(self, lines: list[Line]) -> None:
        self._waiting.extend(lines)
        self._waiting_bytes += sum(_size(line) for line in lines)
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[list[Line]]:
        return self

    async def __anext__(self) -> list[Line]:
        while not self._waiting and not self._complete:
            self._changed.clear()
            await self._changed.wait()
        if self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH_LINES_MAX, len(self._waiting)))]
            self._waiting_bytes -= sum(_size(line) for line in batch)
            self._room.set()
            return batch
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration


def _size(line: Line) -> int:
    return len(line) if isinstance(line, bytes) else 0


class NdjsonAnswer(Response[None]):
    """What a route returns to answer each line of its body by what `process` yields. The route must not read the body.

    The answer begins with the first result, so that what fails before has a status of its own. What `process` raises
    later ends the answer unfinished, after the results before it were sent.
    """

    def __init__(self, process: Process) -> None:
        super().__init__(None, media_type=MEDIA_TYPE)
        self._process = process

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **_: Any) -> ASGIResponse:
        return _Exchange(self._process)


class _Exchange(ASGIResponse):
    """Three things at once: the body is read, its lines are processed, the results are sent."""

    def __init__(self, process: Process) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._process = process
        self._spool = Spool()
        self._changed = asyncio.Event()
        self._begun = self._complete = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lines = Lines(receive)
        reading = asyncio.create_task(lines.read())
        sending = asyncio.create_task(self._send_results(send))
        try:
            await self._collect(lines, sending)
            self._finish()
            await sending
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            for task in (reading, sending):
                task.cancel()
            await asyncio.gather(reading, sending, return_exceptions=True)
            self._spool.close()

    async def _collect(self, lines: Lines, sending: "asyncio.Task[None]") -> None:
        try:
            async with contextlib.aclosing(self._process(lines)) as results:
                async for result in results:
                    self._spool.put(result)
                    self._begun = True
                    self._changed.set()
                    if sending.done():
                        await sending  # it failed: nobody gets what we would yet collect
        except Exception:
            await self._flush(sending)
            raise

    async def _flush(self, sending: "asyncio.Task[None]") -> None:
        """Send the results there are before failing. A client that does not read now loses some: it posts again."""
        if self._begun:
            self._finish()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await asyncio.shield(sending)

    def _finish(self) -> None:
        self._complete = True
        self._changed.set()

    async def _send_results(self, send: Send) -> None:
        await self._changed.wait()
        headers = [(b"content-type", MEDIA_TYPE.encode())]
        await send(cast("Message", {"type": "http.response.start", "status": 200, "headers": headers}))
        while True:
            if part := self._spool.take():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            elif self._complete:
                return
            else:
                self._changed.clear()
                await self._changed.wait()
