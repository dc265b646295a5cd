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
from services.projections.moments import Moments, read_time
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
From = Annotated[
    str | None,
    QueryParameter(name="from", description="Only entries recorded at this time (RFC 3339) or later."),
]
To = Annotated[
    str | None,
    QueryParameter(name="to", description="Only entries recorded before this time (RFC 3339); not as events."),
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


async def provide_moments(state: State) -> Moments:
    """What finds positions by times."""
    moments: Moments = state["moments"]
    return moments


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
    dependencies={
        "entries": Provide(provide_entries),
        "moments": Provide(provide_moments),
        "streams": Provide(provide_streams),
    },
    responses={200: ResponseSpec(str, description="The entries", media_type=NDJSON, generate_examples=False)},
)
async def get_entries(
    *,
    request: Request[Any, Any, Any],
    entries: NamedDependency[EntriesReader],
    moments: NamedDependency[Moments],
    streams: NamedDependency[Streams],
    after: After = 0,
    limit: Limit = None,
    types: Types = None,
    tags: Tags = None,
    from_time: From = None,
    to_time: To = None,
    min_position: MinPosition = None,
    last_event_id: LastEventId = None,
) -> Stream:
    """The stored events in order: NDJSON up to the log's head at the start, which `Registry-Position` names.

    With `Accept: text/event-stream` server-sent events that go on with what is recorded: `id` is the position, `data`
    the stored bytes. Such a stream ends after 25 s at most, and is resumed by `Last-Event-ID` or `after`.

    `from` and `to` are recorded times, by which the log is ordered: an entry may tell of what occurred long before.
    """
    wanted = Wanted(types, None if tags is None else [_tag(text) for text in tags])
    head = await entries.head(wanted, min_position=min_position)
    headers = {POSITION_HEADER: str(head), "Cache-Control": "no-store", "Vary": "Accept"}
    if parked := await entries.parked(wanted):
        headers[PARKED_HEADER] = str(parked)
    if from_time is not None:
        first = await moments.before(read_time("from", from_time))
        if first is None:
            raise _refused("from", "from is a time to come.")
        after = max(after, first)
    if request.accept.best_match([NDJSON, EVENT_STREAM]) != EVENT_STREAM:
        last = None if to_time is None else await moments.before(read_time("to", to_time))
        lines = streams.lines(wanted, after, until=head if last is None else min(head, last), limit=limit)
        return Stream(lines, media_type=NDJSON, headers=headers)
    if to_time is not None:
        raise _refused("to", "A stream of events goes on with what is recorded: it takes no to.")
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
    responses={
        200: ResponseSpec(dict[str, Any], description="The entry", media_type=CLOUD_EVENT, generate_examples=False)
    },
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
        raise _refused("tag", f"A tag is one of {', '.join(KINDS)}, a colon and an id of its form.")
    return tag


def _position(last_event_id: str) -> int:
    if not _DIGITS(last_event_id) or (position := int(last_event_id)) > POSITION_MAX:
        raise _refused("Last-Event-ID", "Last-Event-ID is no position.")
    return position


def _refused(parameter: str, detail: str) -> Malformed:
    return Malformed(detail, errors=[{"detail": detail, "parameter": parameter}])
