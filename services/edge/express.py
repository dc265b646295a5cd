"""The express lane: a request that is all there, of a caller who is known, without a task and the layers around the
application, which cost more than recording an event.

What such a request gets is what the layers give: id, limits, headers, metrics, a line in the log. Whatever is not plain
(no token that was verified before, too much at once, a body that is late) goes through the layers from the beginning.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from litestar.types import Receive, Scope, Send
from msgspec import UNSET
from structlog.contextvars import bound_contextvars
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from services.edge.limits import Limits, Place
from services.edge.outer import SECURITY_HEADERS, Outer, request_id_of, trace_id_of
from services.edge.problems import Headers, problem_headers, problem_of, report
from services.edge.tokens import Authenticator, Caller

AnyHeaders = Mapping[bytes, bytes]


class Answer(NamedTuple):
    """What is answered. headers: beside those of every answer and of the body's length."""

    status: int
    headers: Headers
    body: bytes


class Express(Protocol):
    """A route that can be answered this way. It waits for a future and for nothing else."""

    method: str
    path: str

    def takes(self, headers: AnyHeaders) -> bool:
        """Whether a request with this head is plain. No two of the headers have the same name."""

    def begin(self, headers: AnyHeaders, body: bytes, caller: Caller) -> "asyncio.Future[Any]":
        """What the answer waits for. Raises a Problem."""

    def answer(self, found: Any) -> Answer:
        """The answer to what the future holds. Raises a Problem."""


def _fields(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % field for field in headers])


_EVERY_ANSWER = _fields(SECURITY_HEADERS)


class Lane:
    """The ASGI application around all layers, and beside them the express lane to one of its routes: our protocol asks
    it first."""

    def __init__(self, route: Express, outer: Outer, limits: Limits, authenticator: Authenticator) -> None:
        self.app = outer
        self.route = route
        self.metrics = outer.metrics
        self.limits = limits
        self._authenticator = authenticator
        self._default_headers: Headers | None = None
        self._default_fields = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def may_take(self, scope: HTTPScope) -> bool:
        """Whether the request can be for this lane, before its body is there."""
        route = self.route
        return scope["path"] == route.path and scope["method"] == route.method and not scope["query_string"]

    def take(self, cycle: RequestResponseCycle) -> bool:
        """Answer a request whose body is all there, now or later. Not, and nothing has happened, if it is not plain."""
        try:
            ride = self._let_in(cycle)
        except Exception:
            return False  # the layers will meet the same bug, and tell of it
        if ride is not None:
            ride.begin()
        return ride is not None

    def _let_in(self, cycle: RequestResponseCycle) -> "Ride | None":
        """The request, if it is plain: what is quick to see first."""
        given: Any = cycle.scope["headers"]
        headers = dict(given)
        presented = headers.get(b"authorization")
        if presented is None or len(headers) != len(given) or cycle.flow.write_paused or not self.route.takes(headers):
            return None
        caller = self._authenticator.remembered(presented)
        if caller is None or (place := self.limits.let_in(caller)) is None:
            return None
        return Ride(self, cycle, headers, caller, place)

    def default_fields(self, headers: Headers) -> bytes:
        """The server's own header fields, written once for all answers of a second."""
        if headers is not self._default_headers:
            self._default_headers, self._default_fields = headers, _fields(headers)
        return self._default_fields


class Ride:
    """One request in the lane."""

    __slots__ = ("_caller", "_cycle", "_headers", "_lane", "_place", "_request_id", "_started_at")

    def __init__(
        self, lane: Lane, cycle: RequestResponseCycle, headers: AnyHeaders, caller: Caller, place: Place
    ) -> None:
        self._started_at = time.perf_counter()
        self._lane = lane
        self._cycle = cycle
        self._headers = headers
        self._caller = caller
        self._place = place
        self._request_id = request_id_of(headers.get(b"x-request-id", b""))

    def begin(self) -> None:
        self._lane.metrics.in_flight += 1
        try:
            found = self._lane.route.begin(self._headers, bytes(self._cycle.body), self._caller)
        except Exception as error:
            self._end(self._failed(error))
        else:
            found.add_done_callback(self._found)

    def _found(self, found: "asyncio.Future[Any]") -> None:
        try:
            answer = self._lane.route.answer(found.result())
        except Exception as error:
            answer = self._failed(error)
        self._end(answer)

    def _failed(self, error: Exception) -> Answer:
        problem = problem_of(error)
        with bound_contextvars(request_id=self._request_id.decode()):
            report(error, problem)
        return Answer(problem.status, problem_headers(problem), problem.encode())

    def _end(self, answer: Answer) -> None:
        self._lane.metrics.in_flight -= 1
        self._lane.limits.let_out(self._place)
        self._write(answer)
        self._account(answer.status)

    def _write(self, answer: Answer) -> None:
        """As uvicorn writes an answer and goes on to the next request, in one piece."""
        cycle, lane = self._cycle, self._lane
        if not cycle.disconnected:
            content = [
                STATUS_LINE[answer.status],
                lane.default_fields(cycle.default_headers),
                _fields(answer.headers),
                b"content-length: %d\r\nx-request-id: %b\r\n" % (len(answer.body), self._request_id),
                _EVERY_ANSWER,
                _fields(self._place.headers),
                b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n",
                answer.body,
            ]
            cycle.transport.write(b"".join(content))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()

    def _account(self, status: int) -> None:
        traceparent = self._headers.get(b"traceparent")
        trace_id = None if traceparent is None else trace_id_of(traceparent)
        self._lane.app.account(
            self._lane.route.method,
            self._lane.route.path,
            status,
            started_at=self._started_at,
            request_id=self._request_id.decode(),
            trace_id=trace_id or UNSET,
        )
