"""GET /v1/log/accesses: who looked."""

from typing import Annotated

from litestar import get
from litestar.datastructures import State
from litestar.openapi import ResponseSpec
from litestar.params import QueryParameter
from litestar.response import Stream

from contracts.facts.fact import whole
from services.accesses.reading import AccessReader
from services.accesses.recorder import Recorder
from services.edge.ndjson import MEDIA_TYPE as NDJSON
from services.edge.tokens import Requires

NUMBER_MAX = 2**63 - 1
UUID = whole("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

After = Annotated[int, QueryParameter(ge=0, le=NUMBER_MAX, description="Only entries behind this number.")]
Limit = Annotated[int | None, QueryParameter(ge=1, le=NUMBER_MAX, description="At most so many entries.")]
Person = Annotated[
    str | None, QueryParameter(pattern=UUID, description="Only reads about this person, under this very id.")
]


@get(
    "/v1/log/accesses",
    operation_id="listAccesses",
    summary="Who looked",
    tags=["Log"],
    guards=[Requires("access:read")],
    responses={200: ResponseSpec(str, description="The entries", media_type=NDJSON, generate_examples=False)},
)
async def get_accesses(*, state: State, after: After = 0, limit: Limit = None, person: Person = None) -> Stream:
    """Reads of what is about persons, and of the log, in the order in which they were recorded, as NDJSON.

    Each has number, at, client_id, method, route, status, tags (what it was about, as tags of the log), and the
    positions it asked for. Numbers rise and may have gaps. This read is recorded too.
    """
    recorder: Recorder = state["accesses"]
    reader: AccessReader = state["access_reader"]
    await recorder.flush()
    lines = reader.lines(
        after, until=await reader.last(), tags=None if person is None else [f"person:{person}"], limit=limit
    )
    return Stream(lines, media_type=NDJSON, headers={"Cache-Control": "no-store"})
