"""GET /v1/log/entries, and one of them: history, byte for byte."""

import asyncio
import re
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream

from contracts.problems import Malformed
from contracts.tags import KINDS, canonical_tag
from services.edge.tokens import Requires
from services.projections.answers import PARKED_HEADER, POSITION_HEADER, MinPosition
from services.projections.views.entries.reading import EntriesReader, Wanted
from services.projections.views.entries.streams import EVENT_STREAM, NDJSON, Streams

CLOUD_EVENT = "application/cloudevents+json"
POSITION_MAX = 2**63 - 1
_DIGITS = re.compile("[0-9]{1,19}").fullmatch

After = Annotated[int, QueryParameter(ge=0, le=POSITION_MAX, description="Only entries behind this position.")]
Limit = Annotated[int | None, QueryParameter(ge=1, le=POSITION_MAX, description="At most so many entries.")]
Types = Annotated[
    list[str] | None,
    QueryParameter(name="type", description="Only entries of this type; of any of them when given repeatedly."),
]
Tags = Annotated[
    list[str] | None,
    QueryParameter(
        name="tag",
        description="Only entries that name this id anywhere in their data; any of them when given repeatedly. A kind,"
        f" a colon and the id; kinds are {', '.join(KINDS)}.",
    ),
]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        description="Where a stream of server-sent events was cut: stands for `after`, and goes before it.",
    ),
]


async def provide_entries(state: State) -> EntriesReader:
    """The reader that the application's state holds while it runs."""
    reader: EntriesReader = state["entries"]
    return reader


async def provide_streams(state: State) -> Streams:
    """Streams of the entries, which end when the application drains."""
    drain: asyncio.Event = state["drain"]
    return Streams(state["entries"], state["news"], drain)


@get(
    "/v1/log/entries",
    operation_id="listEntries",
    summary="The log's entries",
    tags=["Log"],
    guards=[Requires("log:read")],
    dependencies={"entries": Provide(provide_entries), "streams": Provide(provide_streams)},
    responses={200: ResponseSpec(str, description="The entries", media_type=NDJSON, generate_examples=False)},
)
async def get_entries(
    *,
    request: Request[Any, Any, Any],
    entries: NamedDependency[EntriesReader],
    streams: NamedDependency[Streams],
    after: After = 0,
    limit: Limit = None,
    types: Types = None,
    tags: Tags = None,
    min_position: MinPosition = None,
    last_event_id: LastEventId = None,
) -> Stream:
    """The stored events in order: NDJSON up to the log's head at the start, which `Registry-Position` names.

    With `Accept: text/event-stream` server-sent events that go on with what is recorded: `id` is the position, `data`
    the stored bytes. Such a stream ends after 25 s at most, and is resumed by `Last-Event-ID` or `after`.
    """
    wanted = Wanted(types, None if tags is None else [_tag(text) for text in tags])
    head = await entries.head(wanted, min_position=min_position)
    headers = {POSITION_HEADER: str(head), "Cache-Control": "no-store", "Vary": "Accept"}
    if parked := await entries.parked(wanted):
        headers[PARKED_HEADER] = str(parked)
    if request.accept.best_match([NDJSON, EVENT_STREAM]) != EVENT_STREAM:
        lines = streams.lines(wanted, after, until=head, limit=limit)
        return Stream(lines, media_type=NDJSON, headers=headers)
    begin = _position(last_event_id) if last_event_id else after
    messages = streams.server_sent_events(wanted, begin, limit=limit)
    return Stream(messages, media_type=EVENT_STREAM, headers=headers | {"X-Accel-Buffering": "no"})


@get(
    "/v1/log/entries/{position:int}",
    operation_id="getEntry",
    summary="An entry of the log",
    tags=["Log"],
    media_type=CLOUD_EVENT,
    guards=[Requires("log:read")],
    dependencies={"entries": Provide(provide_entries)},
)
async def get_entry(*, entries: NamedDependency[EntriesReader], position: FromPath[int]) -> Response[bytes]:
    """The stored bytes at a position."""
    entry = await entries.entry(position)
    return Response(
        entry.entry,
        media_type=CLOUD_EVENT,
        headers={"ETag": f'"{position}"', "Cache-Control": "private, max-age=31536000, immutable"},
    )


def _tag(text: str) -> str:
    tag = canonical_tag(text)
    if tag is None:
        detail = f"A tag is one of {', '.join(KINDS)}, a colon and an id of its form."
        raise Malformed(detail, errors=[{"detail": detail, "parameter": "tag"}])
    return tag


def _position(last_event_id: str) -> int:
    if not _DIGITS(last_event_id) or (position := int(last_event_id)) > POSITION_MAX:
        detail = "Last-Event-ID is no position."
        raise Malformed(detail, errors=[{"detail": detail, "parameter": "Last-Event-ID"}])
    return position
