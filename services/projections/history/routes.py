"""GET /v1/persons/{id}/history."""

from typing import Annotated, Any

from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, QueryParameter

from services.edge.operations import problems
from services.edge.tokens import Requires
from services.projections.answers import POSITION_HEADER, MinPosition, positioned_problems
from services.projections.history.reading import HistoriesReader, History

EVENTS_MAX = 1_000
"""A page. Hardly anybody has more events: who reads a page and does not look for a next one has read it all."""

After = Annotated[int, QueryParameter(ge=0, le=2**63 - 1, description="Only events behind this position.")]
Limit = Annotated[int, QueryParameter(ge=1, le=EVENTS_MAX, description="At most so many events.")]


async def provide_histories(state: State) -> HistoriesReader:
    """The reader that the application's state holds while it runs."""
    reader: HistoriesReader = state["histories"]
    return reader


@get(
    "/v1/persons/{person_id:str}/history",
    operation_id="getHistory",
    summary="What happened to a person",
    tags=["Persons"],
    guards=[Requires("persons:read", about="person")],
    opt=problems(410),
    dependencies={"histories": Provide(provide_histories)},
    responses={200: ResponseSpec(list[dict[str, Any]], description="The stored events", generate_examples=False)},
    exception_handlers=positioned_problems,
)
async def get_history(
    *,
    histories: NamedDependency[HistoriesReader],
    person_id: FromPath[str],
    after: After = 0,
    limit: Limit = EVENTS_MAX,
    min_position: MinPosition = None,
) -> Response[bytes]:
    """An array of the person's events as they are stored, in order, those of merged ids included.

    Where there are more, the header `Link` leads to them with `rel="next"` (RFC 8288).
    """
    history = await histories.history(person_id, after=after, limit=limit, min_position=min_position)
    return Response(
        b"[" + b",".join(entry.entry for entry in history.entries) + b"]",
        media_type="application/json",
        headers=_headers(history, person_id, limit),
    )


def _headers(history: History, person_id: str, limit: int) -> dict[str, str]:
    position, entries, more = history
    places = "-".join(str(entry.position) for entry in (entries[:1] + entries[-1:]))
    headers = {POSITION_HEADER: str(position), "ETag": f'"history-{places}-{len(entries)}-{more}"'}
    if more:
        next_page = f"/v1/persons/{person_id}/history?after={entries[-1].position}&limit={limit}"
        headers["Link"] = f'<{next_page}>; rel="next"'
    return headers
