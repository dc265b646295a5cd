"""One posted event at a time, the registry's busiest request, without the framework's layers around it.

They cost more than reading, deciding and recording the event together (`tests/bench`, table `http`). Whatever is not a
single event goes on to the application, whose route for it documents both.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from contracts.problems import TooLarge
from services.log.proposal import Recorded
from services.registry.http import strict_json
from services.registry.http.cloudevents import (
    BATCH,
    NDJSON,
    STRUCTURED,
    PostedEvent,
    from_binary,
    from_json,
    media_type,
)
from services.registry.http.intake import proposal_of, receipt

Headers = Iterable[tuple[bytes, bytes]]

PATH = "/v1/events"
EVENT_BYTES_MAX = 1 << 20


class SingleEvents:
    """The ASGI application around another that answers `POST /v1/events` for one event."""

    def __init__(self, app: Litestar) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        if scope["query_string"] or not is_single(headers.items(), content_type):
            await self._app(scope, receive, send)
            return
        scope["path_template"] = PATH
        caller = await self._app.state["authenticator"].caller_in(scope)
        body = await _body(receive, headers.get(b"content-length"))
        event = event_of(scope["headers"], content_type, body)
        recorded = await self._app.state["log"].append_one(proposal_of(event, caller))
        prefer = headers.get(b"prefer")
        promises = (
            await self._app.state["receipt_headers"](prefer.decode("latin-1"), recorded.position) if prefer else {}
        )
        await _answer(send, recorded, promises)


def is_single(headers: Headers, content_type: str) -> bool:
    """Whether headers announce one event: structured, or in binary mode."""
    kind = media_type(content_type)
    return kind == STRUCTURED or (kind not in (BATCH, NDJSON) and any(name.startswith(b"ce-") for name, _ in headers))


def event_of(headers: Headers, content_type: str, body: bytes) -> PostedEvent:
    """The event of a structured or binary post."""
    if media_type(content_type) == STRUCTURED:
        return from_json(strict_json.parse(body))
    return from_binary(headers, content_type, body)


async def _body(receive: Receive, content_length: bytes | None) -> bytes:
    """The whole body; TooLarge as soon as it is longer than an event may be."""
    body = b""
    more = not (content_length and content_length.isdigit() and int(content_length) > EVENT_BYTES_MAX)
    too_large = not more
    while more and not too_large:
        message: Any = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        too_large = len(body) > EVENT_BYTES_MAX
    if too_large:
        raise TooLarge(f"The body has more than {EVENT_BYTES_MAX} bytes.", bytes_max=EVENT_BYTES_MAX)
    return body


async def _answer(send: Send, recorded: Recorded, promises: Mapping[str, str]) -> None:
    body = receipt(recorded)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"location", f"/v1/log/entries/{recorded.position}".encode()),
        *((name.lower().encode(), value.encode()) for name, value in promises.items()),
    ]
    status = 200 if recorded.repeated else 201
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
