"""HTTP answers out of read models: each says which position of the log it knows."""

from typing import Annotated, Any, TypeVar

from litestar import Request, Response
from litestar.params import QueryParameter

from contracts.problems import Erased, NotFound, Problem
from services.edge.problems import answer_problem

T = TypeVar("T")

POSITION_HEADER = "Registry-Position"

AsOf = Annotated[
    str | None,
    QueryParameter(
        description="Answer as the registry knew then: a position of the log, or an RFC 3339 time that has passed."
    ),
]

MinPosition = Annotated[
    int | None,
    QueryParameter(
        ge=0, description="Wait (5 s at most, then 503) until the answer knows this position: read your own write."
    ),
]


def answered(content: T, *, position: int, variant: str) -> Response[T]:
    """The answer. `variant`: what else than the position the content depends on, as a token for the entity tag."""
    return Response(content, headers={POSITION_HEADER: str(position), "ETag": f'"{position}-{variant}"'})


def _answer_positioned(request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    response = answer_problem(request, problem)
    if (position := problem.values.get("position")) is not None:
        response.headers[POSITION_HEADER] = str(position)
    return response


positioned_problems: dict[int | type[Exception], Any] = {NotFound: _answer_positioned, Erased: _answer_positioned}
"""For the `exception_handlers` of routes whose 404 and 410 come out of a read model: they say at which position."""
