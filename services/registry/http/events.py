"""`POST /v1/events`: one event, a batch, or a stream of them. Most single events take the express lane instead
(`single_event.py`)."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from litestar import Request, Response, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import FromQuery

from contracts.problems import Malformed, Problem, TooLarge, UnsupportedMediaType
from services.edge.ndjson import Line, NdjsonAnswer
from services.edge.operations import problems
from services.edge.tokens import Caller
from services.log.proposal import Answer, Outcome, Proposal, Recorded
from services.log.writer import UNIT_PROPOSALS_MAX, LogWriter, outcomes_of
from services.registry.http.cloudevents import (
    BATCH,
    NDJSON,
    STRUCTURED,
    PostedEvent,
    event_or_problem,
    from_batch,
    from_content,
    media_type,
)
from services.registry.http.event_forms import BATCH_EVENTS_MAX, PostEvents
from services.registry.http.intake import proposal_of, receipt, result
from services.registry.http.single_event import EVENT_BYTES_MAX, event_of, is_single
from services.registry.proposals import refuse

BODY_BYTES_MAX = 64 << 20

STREAM_UNITS_MAX = 4
"""Units of a stream that are under way at once: one is put, one decided, and others wait to be. With two the log often
had nothing to decide."""

LINES_AT_ONCE = 32
"""So many lines of a stream are read before others have their turn: the log's writer, and other callers."""

AnyRequest = Request[Any, Any, Any]
AnyConnection = ASGIConnection[Any, Any, Any, Any]


async def refuse_other_codings(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """The guard that raises UnsupportedMediaType for a body that is compressed or not UTF-8, whoever posts it.

    Not a plain function, for which Litestar takes a thread.
    """
    media_type(connection.headers.get("content-type", ""))
    coding = connection.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise UnsupportedMediaType(f"The content coding {coding[:40]} is not understood; send the body as it is.")


@post(
    "/v1/events",
    guards=[refuse_other_codings],
    operation_id="postEvents",
    summary="Record facts",
    tags=["Events"],
    status_code=201,
    request_max_body_size=None,
    operation_class=PostEvents,
    opt=problems(409, 422),
)
async def post_events(
    request: AnyRequest, caller: NamedDependency[Caller], atomic: FromQuery[bool] = False
) -> Response[Any]:
    """Record facts. Each answer tells the position at which a fact stands, or the rule that refuses it.

    With `Prefer: wait=N` the receipt of a single event waits until a signed checkpoint covers it: then it has a `Link`
    to the proof.
    """
    log: LogWriter = request.app.state["log"]  # for a second dependency Litestar starts a task group: a tenth of a post
    content_type = request.headers.get("content-type", "")
    kind = media_type(content_type)
    if kind == NDJSON:
        if atomic:
            raise Malformed("A stream is not atomic; post a batch.")
        return NdjsonAnswer(lambda lines: _stream(lines, caller, log))
    if kind == BATCH:
        return await _batch(await read_body(request, BODY_BYTES_MAX), caller, log, atomic=atomic)
    headers = request.scope["headers"]
    if not is_single(headers, content_type):
        raise UnsupportedMediaType(f"Post {STRUCTURED}, {BATCH}, {NDJSON}, or application/json with ce- headers.")
    event = event_of(headers, content_type, await read_body(request, EVENT_BYTES_MAX))
    recorded = await log.append_one(proposal_of(event, caller))
    prefer = request.headers.get("prefer")
    return _receipt(recorded, await request.app.state["receipt_headers"](prefer, recorded.position) if prefer else {})


async def read_body(request: AnyRequest, bytes_max: int) -> bytes:
    """The whole body; raises TooLarge as soon as it is longer."""
    if int(request.headers.get("content-length") or 0) > bytes_max:
        raise TooLarge(f"The body has more than {bytes_max} bytes.", bytes_max=bytes_max)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > bytes_max:
            raise TooLarge(f"The body has more than {bytes_max} bytes.", bytes_max=bytes_max)
    return bytes(body)


def _receipt(recorded: Recorded, promises: Mapping[str, str]) -> Response[bytes]:
    return Response(
        receipt(recorded),
        status_code=200 if recorded.repeated else 201,
        media_type="application/json",
        headers={"Location": f"/v1/log/entries/{recorded.position}"} | dict(promises),
    )


async def _batch(body: bytes, caller: Caller, log: LogWriter, *, atomic: bool) -> Response[bytes]:
    events = from_batch(body)
    if len(events) > BATCH_EVENTS_MAX:
        raise TooLarge(
            f"The batch has {len(events)} events, {BATCH_EVENTS_MAX} are allowed.",
            events=len(events),
            events_max=BATCH_EVENTS_MAX,
        )
    proposals = [_proposal(event, caller) for event in events]
    outcomes: list[Outcome] = await log.append(proposals, atomic=atomic) if proposals else []
    recorded = atomic and any(isinstance(outcome, Recorded) and not outcome.repeated for outcome in outcomes)
    return Response(
        b'{"results":[' + b",".join(map(result, outcomes)) + b"]}",
        status_code=201 if recorded else 200,
        media_type="application/json",
    )


async def _stream(lines: AsyncIterator[list[Line]], caller: Caller, log: LogWriter) -> AsyncGenerator[bytes, None]:
    """A result for each line, in order, as they commit. The next lines are read while those before are recorded."""
    enqueued: asyncio.Queue[Answer | None] = asyncio.Queue()
    ahead = asyncio.create_task(_enqueue(lines, caller, log, enqueued))
    try:
        while (answer := await enqueued.get()) is not None:
            yield b"".join([result(outcome) + b"\n" for outcome in await outcomes_of(answer)])
        await ahead
    finally:
        ahead.cancel()
        await asyncio.gather(ahead, return_exceptions=True)
        while not enqueued.empty():  # the client went away: what waits is not recorded
            if (left := enqueued.get_nowait()) is not None:
                left.cancel()


async def _enqueue(
    lines: AsyncIterator[list[Line]], caller: Caller, log: LogWriter, enqueued: "asyncio.Queue[Answer | None]"
) -> None:
    """Enqueue all lines, as units one behind the other: some wait while those before them are recorded, and the next is
    read. None comes last, whatever happens. Raises what reading the lines raises."""
    under_way: deque[Answer] = deque(maxlen=STREAM_UNITS_MAX)
    try:
        async for some in lines:
            for first in range(0, len(some), UNIT_PROPOSALS_MAX):
                proposals: list[Proposal] = []
                for line in some[first : first + UNIT_PROPOSALS_MAX]:
                    proposals.append(_proposal(event_or_problem(from_content, line), caller))
                    if len(proposals) % LINES_AT_ONCE == 0:
                        await asyncio.sleep(0)
                if len(under_way) == STREAM_UNITS_MAX:
                    await asyncio.wait([under_way[0]])
                under_way.append(log.enqueue(proposals, after=under_way[-1] if under_way else None))
                enqueued.put_nowait(under_way[-1])
    finally:
        enqueued.put_nowait(None)


def _proposal(event: PostedEvent | Problem, caller: Caller) -> Proposal:
    """The proposal of one event among many: what is wrong with it is its own result."""
    if isinstance(event, Problem):
        return refuse(event)
    try:
        return proposal_of(event, caller)
    except Problem as problem:
        return refuse(problem)
