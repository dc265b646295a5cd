"""`GET /v1/log/entries`: history, byte for byte."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream

from contracts.problems import NotFound
from services.edge.tokens import Requires
from services.log.reader import LogReader

NDJSON = "application/x-ndjson"

Position = Annotated[int, QueryParameter(ge=0, le=2**63 - 1)]
Limit = Annotated[int | None, QueryParameter(ge=1, le=2**63 - 1)]


@get("/v1/log/entries", guards=[Requires("log:read")])
async def get_entries(
    reader: NamedDependency[LogReader],
    drain: NamedDependency[asyncio.Event],
    after: Position = 0,
    limit: Limit = None,
    type: FromQuery[list[str] | None] = None,  # noqa: A002 the contract's name
) -> Stream:
    """The stored events behind position `after`, in order, up to the head at the start."""
    head = await reader.head()

    async def lines() -> AsyncIterator[bytes]:
        async for page in reader.entries(after, until=head, limit=limit, types=type):
            yield b"".join(entry.entry + b"\n" for entry in page)
            if drain.is_set():
                raise ConnectionAbortedError("the registry is stopping; the client goes on from its last position")

    return Stream(lines, media_type=NDJSON, headers={"Registry-Position": str(head)})


@get("/v1/log/entries/{position:int}", guards=[Requires("log:read")])
async def get_entry(reader: NamedDependency[LogReader], position: FromPath[int]) -> Response[bytes]:
    """The stored bytes at a position."""
    entry = await reader.entry(position) if 1 <= position < 2**63 else None
    if entry is None:
        raise NotFound(f"The log has no position {position} yet.", position=position)
    return Response(
        entry.entry,
        media_type="application/cloudevents+json",
        headers={"ETag": f'"{position}"', "Cache-Control": "private, max-age=31536000, immutable"},
    )
