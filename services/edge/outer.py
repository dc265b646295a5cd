"""The outermost layer, for what Litestar lacks: ids, true metrics, access log, HEAD, 304, body time-out, headers."""

import asyncio
import re
import time
from collections.abc import MutableMapping
from datetime import UTC, datetime
from os import urandom
from typing import Any, cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import UNSET, UnsetType
from structlog.contextvars import bind_contextvars, reset_contextvars

from contracts.problems import Problem, RequestTimeout
from services.edge.access_log import AccessLog, Line, shown
from services.edge.metrics import Metrics
from services.edge.problems import ClientGone, Headers, problem_headers, problem_of, report

BODY_TIMEOUT_S = 30.0
NO_ROUTE = "(none)"
ANSWER_HEADERS = "certibranche.answer_headers"
"""Where in a request's scope an inner layer leaves headers for whatever will be the answer."""

QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})

SECURITY_HEADERS: Headers = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_ENTITY_TAG = re.compile(rb'(?:W/)?("[^"]*")')


def request_id_of(given: bytes) -> bytes:
    """The id of a request: what the caller gives in X-Request-Id, or a new one where that is none."""
    return given if _REQUEST_ID.fullmatch(given) else urandom(16).hex().encode()


def trace_id_of(traceparent: bytes) -> str | None:
    """The trace that a W3C traceparent names; None where it is malformed."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found and found.group(1).decode()


class AnswerAbortedError(Exception):
    """An answer that had begun cannot be completed: the server must cut the connection. Already logged."""


class HeadAnsweredError(OSError):
    """Stops the application of a HEAD request, whose body nobody wants."""


class Outer:
    """The ASGI application around another. A request's id goes into every log line of it and into its answer."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        access_log: AccessLog = shown,
        *,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.access_log = access_log
        self.body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        exchange = Exchange(self, cast("MutableMapping[str, Any]", scope), receive, send)
        tokens = bind_contextvars(**exchange.context)
        self.metrics.in_flight += 1
        try:
            await exchange.run(self.app)
        finally:
            self.metrics.in_flight -= 1
            exchange.account(self)
            reset_contextvars(**tokens)

    def account(
        self,
        method: str,
        route: str,
        status: int,
        *,
        started_at: float,
        request_id: str,
        trace_id: str | UnsetType,
        complete: bool | UnsetType = UNSET,
    ) -> None:
        """Count a request and log it, by its route's template: paths and queries hold ids of persons."""
        duration_s = time.perf_counter() - started_at
        self.metrics.count(method, route, status, duration_s)
        if route not in QUIET:
            self.access_log(
                Line(
                    timestamp=datetime.now(UTC),
                    request_id=request_id,
                    trace_id=trace_id,
                    method=method,
                    route=route,
                    status=status,
                    duration_ms=round(duration_s * 1e3, 3),
                    complete=complete,
                )
            )


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_body_timeout_s",
        "_if_none_match",
        "_receive",
        "_send",
        "begun",
        "body_left",
        "bodyless",
        "context",
        "ended",
        "method",
        "request_id",
        "scope",
        "started_at",
        "status",
    )

    def __init__(self, outer: Outer, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self.started_at = time.perf_counter()
        self._receive, self._send = receive, send
        self._body_timeout_s = outer.body_timeout_s
        self.method: str = scope["method"]
        self.bodyless = self.method == "HEAD"
        self.scope = {**scope, "method": "GET"} if self.bodyless else scope
        self.status = 0
        self.begun = self.ended = False
        self.body_left = True
        self._read_headers(scope["headers"])

    def _read_headers(self, headers: Headers) -> None:
        self._if_none_match: bytes | None = None
        request_id, context = b"", {}
        for name, value in headers:
            if name == b"x-request-id":
                request_id = value
            elif name == b"traceparent":
                if trace_id := trace_id_of(value):
                    context["trace_id"] = trace_id
            elif name == b"if-none-match" and self.method in ("GET", "HEAD"):
                self._if_none_match = value
        self.request_id = request_id_of(request_id)
        self.context = {"request_id": self.request_id.decode(), **context}

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(cast("Scope", self.scope), self.receive, self.send)
        except HeadAnsweredError:
            pass
        except Exception as error:
            await self._failed(error)

    async def _failed(self, error: Exception) -> None:
        if self.ended and self.bodyless:
            return  # HeadAnsweredError, however the application wrapped it
        problem = problem_of(error)
        report(error, problem)
        if self.ended:
            return
        if self.begun:
            self.status = problem.status  # of what happened, for logs and metrics: the caller has read another
            raise AnswerAbortedError from error
        await self._answer(problem)

    async def _answer(self, problem: Problem) -> None:
        body = problem.encode()
        headers = [*problem_headers(problem), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def receive(self) -> Any:
        """The next part of the body: RequestTimeout after too long without one, ClientGone when it will never come.

        Once the body is complete this waits, without limit, for the client to leave.
        """
        if not self.body_left:
            return await self._receive()
        try:
            async with asyncio.timeout(self._body_timeout_s):
                message = await self._receive()
        except TimeoutError:
            detail = f"No byte of the body arrived for {self._body_timeout_s:g} s."
            raise RequestTimeout(detail, waited_s=self._body_timeout_s) from None
        if message["type"] == "http.disconnect":
            raise ClientGone("The client left before its request was complete.")
        self.body_left = cast("dict[str, Any]", message).get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(cast("dict[str, Any]", message))
        elif self.bodyless:
            await self._end_without_body()
            if cast("dict[str, Any]", message).get("more_body", False):
                raise HeadAnsweredError
        else:
            self.ended = not cast("dict[str, Any]", message).get("more_body", False)
            await self._send(message)

    async def _begin(self, message: dict[str, Any]) -> None:
        own = self.scope.get(ANSWER_HEADERS, ())
        headers = [*message["headers"], (b"x-request-id", self.request_id), *SECURITY_HEADERS, *own]
        self.begun = True
        self.status = message["status"]
        if self._if_none_match is not None and self.status == 200 and self._unchanged(headers):
            self.status, self.bodyless = 304, True
            headers = [field for field in headers if field[0] not in (b"content-length", b"content-type")]
        await self._send(cast("Message", {**message, "status": self.status, "headers": headers}))

    async def _end_without_body(self) -> None:
        if not self.ended:
            self.ended = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _unchanged(self, headers: Headers) -> bool:
        """RFC 9110, section 13.1.2: weak comparison."""
        assert self._if_none_match is not None
        own = next((value for name, value in headers if name == b"etag"), None)
        if own is None:
            return False
        known = _ENTITY_TAG.findall(self._if_none_match)
        return self._if_none_match.strip() == b"*" or own.removeprefix(b"W/") in known

    def account(self, outer: Outer) -> None:
        """Count the request and log it."""
        outer.account(
            self.method,
            self.scope.get("path_template") or NO_ROUTE,
            self.status or 499,  # cancelled before an answer began: the client left, or we are shutting down
            started_at=self.started_at,
            request_id=self.context["request_id"],
            trace_id=self.context.get("trace_id", UNSET),
            complete=UNSET if self.ended else False,
        )
