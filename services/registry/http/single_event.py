"""One posted event at a time, the registry's busiest request: what it needs of the log, for the express lane.

Through the layers and the framework it costs far more than reading, deciding and recording the event together
(`tests/bench`, table `http`). Whatever is not plain goes there: the route of `events.py`, which documents both.
"""

import asyncio
from collections.abc import Iterable
from functools import lru_cache

from litestar.datastructures import State

from contracts.problems import Problem
from services.edge.express import Answer, AnyHeaders
from services.edge.tokens import Caller
from services.log.proposal import Outcome
from services.registry.http.cloudevents import (
    BATCH,
    NDJSON,
    STRUCTURED,
    PostedEvent,
    from_binary,
    from_content,
    media_type,
)
from services.registry.http.intake import proposal_of, receipt

Headers = Iterable[tuple[bytes, bytes]]

EVENT_BYTES_MAX = 1 << 20

_OTHERWISE = (b"prefer", b"expect", b"content-encoding")
"""What asks for more than a receipt, or may say that the body is not what it seems."""


class SingleEvents:
    """`POST /v1/events` for one event, structured or in binary mode. state: the application's, with the log."""

    method = "POST"
    path = "/v1/events"

    def __init__(self, state: State) -> None:
        self._state = state

    def takes(self, headers: AnyHeaders) -> bool:
        """Whether a request with these headers posts one event and asks for its receipt at once."""
        kind = _kind(headers.get(b"content-type", b""))
        if kind != STRUCTURED and (kind is None or not _is_binary(headers.items(), kind)):
            return False
        return not any(name in headers for name in _OTHERWISE)

    def begin(self, headers: AnyHeaders, body: bytes, caller: Caller) -> "asyncio.Future[list[Outcome] | Problem]":
        content_type = headers.get(b"content-type", b"")
        if _kind(content_type) == STRUCTURED:
            event = from_content(body)
        else:
            event = from_binary(headers.items(), content_type.decode("latin-1"), body)
        future: asyncio.Future[list[Outcome] | Problem] = self._state["log"].enqueue([proposal_of(event, caller)])
        return future

    def answer(self, found: list[Outcome] | Problem) -> Answer:
        recorded = found if isinstance(found, Problem) else found[0]
        if isinstance(recorded, Problem):
            raise recorded
        location = b"/v1/log/entries/%d" % recorded.position
        headers = [(b"content-type", b"application/json"), (b"location", location)]
        return Answer(200 if recorded.repeated else 201, headers, receipt(recorded))


@lru_cache(maxsize=64)
def _kind(content_type: bytes) -> str | None:
    """The media type of a Content-Type; None where the layers refuse it."""
    try:
        return media_type(content_type.decode("latin-1"))
    except Problem:
        return None


def is_single(headers: Headers, content_type: str) -> bool:
    """Whether headers announce one event: structured, or in binary mode."""
    kind = media_type(content_type)
    return kind == STRUCTURED or _is_binary(headers, kind)


def _is_binary(headers: Headers, kind: str) -> bool:
    return kind not in (BATCH, NDJSON) and any(name.startswith(b"ce-") for name, _ in headers)


def event_of(headers: Headers, content_type: str, body: bytes) -> PostedEvent:
    """The event of a structured or binary post."""
    if media_type(content_type) == STRUCTURED:
        return from_content(body)
    return from_binary(headers, content_type, body)
