"""A connection's HTTP/1.1, stricter than uvicorn's: what is not body is bounded in bytes and in time.

The parser (llhttp, strict) refuses what could be read in two ways: both lengths, bare line feeds, folded fields.
"""

import asyncio
import re
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from contracts.problems import HeadTooLarge, Malformed, Problem
from services.edge.express import Lane
from services.edge.problems import problem_headers

HEAD_BYTES_MAX = 1 << 16
"""Of a request's address and header fields. Trailers and the framing of chunks may be as much again, and `FRAMING_MAX`
bytes for each byte of the body."""

FIELDS_MAX = 100
FRAMING_MAX = 8
"""A chunk of one byte has five bytes of framing."""

HEAD_S = 10.0
"""How long a head, or the rest of a body whose answer is given, may take to arrive; it is looked at this often."""

LATE_S = 0.05
"""How long a body may take to be all there for the express lane. Many clients send it apart from the head."""

_WISH = re.compile(rb"(?i)\r\nupgrade:[^\r\n]*(?=\r\n)")
"""The wish to go on in another protocol, as a field of a head. We have no other, so it is not heard (RFC 9110, section
7.8); but the parser would take what follows the head for that protocol and lose the body. Java's client and
`curl --http2` wish for HTTP/2 in their first request over plain TCP, whatever its method."""

_SINGLE = frozenset({b"host", b"content-type"})
"""Fields of which each hop would believe its own, if there were two."""

_BODY = frozenset({b"content-length", b"transfer-encoding"})
"""Fields that announce a body."""


class HeadRefusedError(Exception):
    """Raised through the parser, which stops there."""


class Protocol(HttpToolsProtocol):
    """One connection. What is no request gets a problem, and then the connection ends.

    Where the application is a `Lane` that is asked first; what it does not take starts as any request.
    """

    head_s = HEAD_S
    late_s = LATE_S
    _waiting: tuple[RequestResponseCycle, Any] | None = None  # for its body, to be taken by the lane
    _late: asyncio.TimerHandle | None = None
    _refusal: Problem | None = None
    _received = _body = 0
    _begun_at: float | None = None  # of a request that is not all there
    _in_head = True
    _watch: asyncio.TimerHandle | None = None

    def __init__(self, config: Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._lane = config.app if isinstance(config.app, Lane) else None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begun_at = self.loop.time()
        self._watch = self.loop.call_later(self.head_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)
        self._start_waiting()

    def _look(self) -> None:
        """End the connection of a client that keeps us waiting for nothing; bodies have a time-out of their own."""
        answered = self._in_head or self.cycle is None or self.cycle.response_complete
        if self._begun_at is not None and answered and self.loop.time() - self._begun_at >= self.head_s:
            self.transport.close()
        else:
            self._watch = self.loop.call_later(self.head_s, self._look)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        head_to_come = self._in_head or self._begun_at is None
        super().data_received(_without_wish(data) if head_to_come else data)
        if self._received > HEAD_BYTES_MAX + self._body * (1 + FRAMING_MAX) and not self.transport.is_closing():
            self._refusal = _head_too_large()
            self.send_400_response("")
        if self._waiting is not None and self._late is None:
            self._late = self.loop.call_later(self.late_s, self._start_waiting)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._received = self._body = 0
        self._begun_at = self.loop.time()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._refuse_head()
        self._in_head = False
        super().on_headers_complete()
        self.headers = []  # trailers fall in here: they are no header fields, whatever their names

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)
        if self._body > HIGH_WATER_LIMIT:  # reading is paused until somebody asks for more
            self._start_waiting()

    def on_message_complete(self) -> None:
        self._begun_at = None
        self._received = 0
        super().on_message_complete()
        if self._waiting is not None:
            self._start_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._start_waiting()  # what was pipelined has waited already

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start a request, or let it wait for its body."""
        if self._lane is None or cycle.waiting_for_100_continue or not self._lane.may_take(cycle.scope):
            super()._start_asgi_task(cycle, app)
        else:
            self._waiting = cycle, app

    def _start_waiting(self) -> None:
        """Start the request that has waited, if there is one: in the lane when its body is there."""
        if self._waiting is None:
            return
        (cycle, app), self._waiting = self._waiting, None
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if cycle.more_body or self._lane is None or not self._lane.take(cycle):
            super()._start_asgi_task(cycle, app)

    def _refuse_head(self) -> None:
        size, single = len(self.url), []
        for name, value in self.headers:
            size += len(name) + len(value)
            if name in _SINGLE:
                single.append(name)
        if size > HEAD_BYTES_MAX or len(self.headers) > FIELDS_MAX:
            self._refuse(_head_too_large())
        if len(single) != len(set(single)):
            self._refuse(Malformed("A header field of which there can be one is there twice."))
        if self.parser.should_upgrade() and _BODY.intersection(name for name, _ in self.headers):
            self._refuse(Malformed("The body of a request that asks for another protocol cannot be read."))
        if b"host" not in single and self.parser.get_http_version() == "1.1":
            self._refuse(Malformed("A request has a Host (RFC 9112, section 3.2)."))

    def _refuse(self, problem: Problem) -> None:
        self._refusal = problem
        raise HeadRefusedError

    def send_400_response(self, _msg: str) -> None:
        """Answer what is no request, unless an answer to an earlier request is under way: it would be taken for it."""
        problem = self._refusal or Malformed("This is no request of HTTP/1.1.")
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started):
            self.transport.write(_answer(problem))
        self.transport.close()


def _without_wish(data: bytes) -> bytes:
    """What came of a head, without the field Upgrade; what comes after the head stays as it is."""
    end = data.find(b"\r\n\r\n")
    head = data if end < 0 else data[: end + 2]
    if b"pgrade" not in head and b"PGRADE" not in head:  # as all clients write it; spares most heads the search
        return data
    return _WISH.sub(b"", head) + data[len(head) :]


def _head_too_large() -> HeadTooLarge:
    detail = f"A request's head has at most {HEAD_BYTES_MAX} bytes and {FIELDS_MAX} fields; so have trailers."
    return HeadTooLarge(detail, bytes_max=HEAD_BYTES_MAX, fields_max=FIELDS_MAX)


def _answer(problem: Problem) -> bytes:
    body = problem.encode()
    headers = [*problem_headers(problem), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    lines = [name + b": " + value + b"\r\n" for name, value in headers]
    return b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", body])
