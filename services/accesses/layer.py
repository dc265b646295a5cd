"""The ASGI layer that records reads, whichever side answers them."""

from typing import Any, NamedTuple, cast

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from services.accesses.entries import access_of
from services.accesses.recorder import Recorder
from services.edge.operations import SHOWS_IDENTITY
from services.edge.tokens import CALLER_SHOWN, Caller, Requires

OPERATIONS = "ops:read"
"""The scope of reads that are about the registry's own work."""


class Read(NamedTuple):
    """A route that is recorded. shows_identity: in every answer; or, as a name, with this query parameter."""

    shows_identity: bool | str

    def shows(self, query: bytes) -> bool:
        """Whether the answer to this query says who a person is."""
        return self.shows_identity if isinstance(self.shows_identity, bool) else self.shows_identity.encode() in query


def recorded_reads(app: Litestar) -> dict[tuple[str, str], Read]:
    """By method and template: every GET that needs a scope, and whatever else shows an identity. So a new route is
    recorded unless it says otherwise."""
    reads = {}
    for route in app.routes:
        for method, (handler, _) in route.route_handler_map.items() if isinstance(route, HTTPRoute) else ():
            scopes = {guard.scope for guard in handler.resolve_guards() if isinstance(guard, Requires)}
            shows: bool | str = handler.opt.get(SHOWS_IDENTITY, False)
            if shows or (method == "GET" and scopes - {OPERATIONS}):
                reads[str(method), route.path_format] = Read(shows)
    return reads


class Accesses:
    """The application around another. The record is made when the answer begins: by then its status is known.

    Who showed no good token is not recorded, for nothing was shown and nobody is known.
    """

    def __init__(self, app: ASGIApp, reads: dict[tuple[str, str], Read], recorder: Recorder) -> None:
        self._app = app
        self._reads = reads
        self._methods = {method for method, _ in reads}
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = cast("dict[str, Any]", scope).get(CALLER_SHOWN)
        if scope["type"] != ScopeType.HTTP or caller is None or scope["method"] not in self._methods:
            await self._app(scope, receive, send)
            return

        async def recording(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._record(cast("dict[str, Any]", scope), caller.client_id, message["status"])
            await send(message)

        await self._app(scope, receive, recording)

    async def _record(self, scope: dict[str, Any], client_id: str, status: int) -> None:
        route = scope.get("path_template", "")
        read = self._reads.get((scope["method"], route))
        if read is None:
            return
        access = access_of(scope, route, client_id, status)
        if status < 300 and read.shows(scope["query_string"]):
            await self._recorder.keep(access)
        else:
            self._recorder.note(access)
