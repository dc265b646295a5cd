"""HTTP answers out of read models: each says which position of the log it knows."""

from typing import Annotated, Any, TypeVar

from litestar import Request, Response
from litestar.params import QueryParameter

from contracts.problems import Erased, NotFound, Problem, Unavailable
from services.edge.problems import answer_problem

T = TypeVar("T")

POSITION_HEADER = "Registry-Position"
PARKED_HEADER = "Registry-Parked"
"""How many events are missing in an answer: they wait for a repair."""

REPAIR_S = 60

AsOf = Annotated[
    str | None,
    QueryParameter(
        description="Answer as the registry knew then: a position of the log, or an RFC 3339 time that has passed.",
        schema_extra={"anyOf": [{"pattern": "^[0-9]{1,19}$"}, {"format": "date-time"}]},
    ),
]

MinPosition = Annotated[
    int | None,
    QueryParameter(
        ge=0,
        le=2**63 - 1,
        description="Wait (5 s at most, then 503) until the answer knows this position: read your own write.",
    ),
]


def answered(content: T, *, position: int, variant: str, last: int | None = None, parked: int = 0) -> Response[T]:
    """The answer. `variant`: what else than the position the content depends on, as a token for the entity tag.

    last: the position of the last event that the content comes from, where it is known: until another such event the
    answer stays the same. Default: `position`. parked: how many events are missing in it.
    """
    tag = f'"{position if last is None else last}-{variant}{f"-{parked}" if parked else ""}"'
    headers = {POSITION_HEADER: str(position), "ETag": tag}
    return Response(content, headers=headers | ({PARKED_HEADER: str(parked)} if parked else {}))


def waiting(parked: int, *, position: int) -> Unavailable:
    """What is said of a thing of which events wait for a repair: any answer would be wrong."""
    detail = f"{parked} of the events about this wait for a repair."
    return Unavailable(detail, retry_after_s=REPAIR_S, position=position, parked=parked)


def _answer_positioned(request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    response = answer_problem(request, problem)
    if (position := problem.values.get("position")) is not None:
        response.headers[POSITION_HEADER] = str(position)
    if (parked := problem.values.get("parked")) is not None:
        response.headers[PARKED_HEADER] = str(parked)
    return response


positioned_problems: dict[int | type[Exception], Any] = dict.fromkeys(
    (NotFound, Erased, Unavailable), _answer_positioned
)
"""For the `exception_handlers` of routes whose 404, 410 and 503 come out of a read model: they say their position."""
